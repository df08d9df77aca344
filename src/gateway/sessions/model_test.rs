//! A randomised model: what may be live after any sequence of admit, edit,
//! revoke, delete, expire, drop, stale admits and repeated events.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::keys::Timestamp;
use crate::store::KeyChange;

#[derive(Debug, Clone)]
enum Step {
    /// Verify now, keep the principal for later.
    Verify {
        key: usize,
    },
    /// Admit with one of the kept principals, perhaps an old one.
    Admit {
        principal: usize,
        agent: u128,
    },
    /// Move the expiry to so many seconds from now; applied at once or late.
    Edit {
        key: usize,
        seconds: u64,
        late: bool,
    },
    /// Revoke; applied at once.
    Revoke {
        key: usize,
    },
    /// Apply an earlier change once more.
    Repeat {
        change: usize,
    },
    /// The clock moves on.
    Pass {
        seconds: i64,
    },
    Fire,
    /// A stream goes by itself.
    Drop {
        guard: usize,
    },
    /// Spent gates are swept.
    Sweep,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0..3_usize).prop_map(|key| Step::Verify { key }),
        6 => (any::<usize>(), 0..4_u128)
            .prop_map(|(principal, agent)| Step::Admit { principal, agent }),
        2 => (0..3_usize, 1..100_u64, any::<bool>())
            .prop_map(|(key, seconds, late)| Step::Edit { key, seconds, late }),
        1 => (0..3_usize).prop_map(|key| Step::Revoke { key }),
        2 => any::<usize>().prop_map(|change| Step::Repeat { change }),
        1 => (1..60_i64).prop_map(|seconds| Step::Pass { seconds }),
        1 => Just(Step::Fire),
        2 => any::<usize>().prop_map(|guard| Step::Drop { guard }),
        1 => Just(Step::Sweep),
    ];
    prop::collection::vec(step, 1..60)
}

/// What the gateway may believe of a key: only what it has applied or loaded.
struct Known {
    revoked: bool,
    /// The newest revision that reached the gate, and its expiry.
    revision: u64,
    expires_at: Timestamp,
}

async fn run(steps: Vec<Step>) {
    let bench = Bench::new().await;
    let mut keys = Vec::new();
    let mut known: Vec<Option<Known>> = Vec::new();
    for _ in 0..3 {
        keys.push(bench.key().await);
        known.push(None);
    }
    let mut principals: Vec<(usize, Principal)> = Vec::new();
    let mut changes: Vec<(usize, KeyChange)> = Vec::new();
    let mut guards: Vec<(usize, u128, SessionGuard)> = Vec::new();
    let mut offset = 0;
    for step in steps {
        let now = bench.store.clock().now();
        match step {
            Step::Verify { key } => {
                let verified = bench
                    .authenticator
                    .authenticate(&keys[key], Freshness::Reloaded);
                if let Ok(principal) = verified.await {
                    principals.push((key, principal));
                }
            }
            Step::Admit { principal, agent } if !principals.is_empty() => {
                let (key, principal) = &principals[principal % principals.len()];
                let revision = principal.position().revision.0;
                let may = match &known[*key] {
                    Some(known) if known.revoked => false,
                    Some(known) if revision < known.revision => false,
                    Some(known) if revision == known.revision => now < known.expires_at,
                    _ => now < principal.expires_at(),
                };
                let admitted = bench.admit(principal, agent);
                assert_eq!(admitted.is_ok(), may, "{admitted:?}");
                if !known[*key]
                    .as_ref()
                    .is_some_and(|k| k.revoked || k.revision >= revision)
                {
                    known[*key] = Some(Known {
                        revoked: false,
                        revision,
                        expires_at: principal.expires_at(),
                    });
                }
                if let Ok(guard) = admitted {
                    guards.push((*key, agent, guard));
                }
            }
            Step::Edit { key, seconds, late } => {
                let edit = KeyEdit {
                    expires_at: Some(now.saturating_add(Duration::from_secs(seconds))),
                    ..KeyEdit::default()
                };
                if let Ok(written) = bench.store.edit(keys[key].id, edit).await {
                    if !late {
                        apply(&bench, &mut known[key], &written.change);
                    }
                    changes.push((key, written.change));
                }
            }
            Step::Revoke { key } => {
                let written = bench.store.revoke(keys[key].id).await.unwrap();
                apply(&bench, &mut known[key], &written.change);
                changes.push((key, written.change));
            }
            Step::Repeat { change } if !changes.is_empty() => {
                let (key, change) = &changes[change % changes.len()];
                apply(&bench, &mut known[*key], change);
            }
            Step::Pass { seconds } => {
                offset += seconds * 1000;
                bench.store.clock().set_shift_millis(offset);
            }
            Step::Fire => {
                for key in &keys {
                    bench.registry.expire(key.id, true);
                }
            }
            Step::Drop { guard } if !guards.is_empty() => {
                let at = guard % guards.len();
                guards.swap_remove(at);
            }
            Step::Sweep => drop(swept(&bench.registry)),
            Step::Admit { .. } | Step::Repeat { .. } | Step::Drop { .. } => {}
        }
        agree(&bench, &keys, &known, &guards);
    }
    drop(guards);
    assert_eq!(bench.registry.live_total(), 0);
}

fn apply(bench: &Bench, known: &mut Option<Known>, change: &KeyChange) {
    use crate::store::Change;
    bench.registry.apply(change);
    let revision = change.position.revision.0;
    match &change.change {
        Change::Revoked(record) => {
            *known = Some(Known {
                revoked: true,
                revision,
                expires_at: record.expires_at,
            });
        }
        Change::Edited(record) => {
            if known
                .as_ref()
                .is_none_or(|k| !k.revoked && k.revision < revision)
            {
                *known = Some(Known {
                    revoked: false,
                    revision,
                    expires_at: record.expires_at,
                });
            }
        }
        Change::Created(_) | Change::Deleted { .. } => {}
    }
}

/// No session of a revoked key is live; at most one of an (agent, key) is; what
/// the registry counts is what the guards say.
fn agree(
    bench: &Bench,
    keys: &[PresentedKey],
    known: &[Option<Known>],
    guards: &[(usize, u128, SessionGuard)],
) {
    let mut live: HashMap<(usize, u128), u32> = HashMap::new();
    for (key, agent, guard) in guards.iter().filter(|(_, _, g)| !g.session.has_ended()) {
        assert!(
            !known[*key].as_ref().is_some_and(|k| k.revoked),
            "{guard:?}"
        );
        *live.entry((*key, *agent)).or_default() += 1;
    }
    assert!(live.values().all(|sessions| *sessions == 1), "{live:?}");
    for (at, key) in keys.iter().enumerate() {
        let alive = live.keys().filter(|(key, _)| *key == at).count();
        assert_eq!(bench.registry.live_sessions(key.id), alive);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 200,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn the_registry_agrees_with_the_model(steps in steps()) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(run(steps));
    }
}
