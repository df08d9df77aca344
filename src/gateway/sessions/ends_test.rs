//! Ends that meet others: streams that were to go before, histories that are over;
//! and when a gate goes.

use super::*;

/// A stream that was to end for a lesser reason, and still stands when the key is
/// revoked.
#[tokio::test]
async fn the_keys_end_waits_for_a_stream_that_was_superseded_before() {
    let bench = Bench::new().await;
    let key = bench.key().await;
    let principal = bench.principal(&key).await;
    let connection = Arc::new(CountingConnection::default());
    let old = bench.admit_on(&principal, 1, Arc::clone(&connection));
    let old = old.unwrap();
    let new = bench.admit(&principal, 1).unwrap();
    assert_eq!(old.ended().await, EndReason::Superseded);
    let revoke = bench.store.revoke(key.id).await.unwrap();
    let closing = bench.registry.apply(&revoke.change);
    assert_eq!((closing.total(), closing.open()), (2, 2));
    assert_eq!(connection.streams.load(Ordering::SeqCst), 1);
    assert_eq!(connection.connections.load(Ordering::SeqCst), 1);
    drop(new);
    assert_eq!(closing.open(), 1);
    drop(old);
    assert_eq!(closing.open(), 0);
    closing.closed().await;
}

#[tokio::test]
async fn a_stream_that_is_gone_is_not_waited_for() {
    let bench = Bench::new().await;
    let key = bench.key().await;
    let principal = bench.principal(&key).await;
    let old = bench.admit(&principal, 1).unwrap();
    let new = bench.admit(&principal, 1).unwrap();
    drop(old);
    bench.registry.disconnect(new.id()).unwrap();
    drop(new);
    let revoke = bench.store.revoke(key.id).await.unwrap();
    let closing = bench.registry.apply(&revoke.change);
    assert_eq!((closing.total(), closing.open()), (0, 0));
}

/// A principal of the history before, whose key has no gate: nothing but the
/// history says that it is too old.
#[tokio::test]
async fn a_principal_of_the_history_before_opens_nothing() {
    let bench = Bench::new().await;
    let key = bench.key().await;
    let principal = bench.principal(&key).await;
    let Position { epoch, revision } = principal.position();
    let next = Epoch(epoch.0 ^ 1);
    bench.registry.follow_history(next);
    assert_eq!(bench.admit(&principal, 1).unwrap_err(), AdmitError::Stale);
    let stale = Err(AdmitError::Stale);
    assert_eq!(bench.registry.check_gate(&principal), stale);
    bench.registry.follow_history(epoch);
    let stale = bench.admit(&principal, 1).unwrap_err();
    assert_eq!(
        stale,
        AdmitError::Stale,
        "made before all keys are read again"
    );
    let principal = bench.principal(&key).await;
    let guard = bench.admit(&principal, 1).unwrap();
    // A late apply of the history before sets no gate back.
    let soon = bench.store.clock().now();
    let before = Position {
        epoch: next,
        revision,
    };
    bench.registry.observe(key.id, before, soon);
    assert_eq!(bench.registry.check_gate(&principal), Ok(()));
    drop(guard);
}

#[tokio::test]
async fn gates_that_guard_nothing_are_swept() {
    let bench = Bench::new().await;
    let metrics = Arc::new(Metrics::new());
    let options = RegistryOptions {
        gateway: bench.registry.gateway(),
        memory: Duration::ZERO,
    };
    let clock = bench.store.clock().clone();
    let registry = Registry::new(options, clock, metrics, Arc::clone(&bench.events));
    let (edited, revoked) = (bench.key().await, bench.key().await);
    let edit = KeyEdit {
        name: Some("n".into()),
        ..KeyEdit::default()
    };
    registry.apply(&bench.store.edit(edited.id, edit).await.unwrap().change);
    registry.apply(&bench.store.revoke(revoked.id).await.unwrap().change);
    let now = bench.store.clock().now();
    let later = now.saturating_add(Duration::from_secs(3_600));
    let pending = bench.key().await.id;
    registry.end_revoked(pending, now, later, KnownBy::ThisGateway);
    let mut gone = swept(&registry);
    gone.sort_unstable();
    let mut spent = [edited.id, revoked.id];
    spent.sort_unstable();
    assert_eq!(gone, spent);
    assert_eq!(registry.keys(), [pending], "no store knows of its end");
    bench.store.clock().set_shift_millis(3_601 * 1000);
    assert_eq!(swept(&registry), [pending]);
    assert!(registry.keys().is_empty());
}

/// A year's worth of keys that live for a day: nothing is left of them.
#[tokio::test]
async fn gates_are_bounded_by_what_is_alive() {
    let bench = Bench::new().await;
    let memory = Duration::from_millis(200);
    let options = RegistryOptions {
        gateway: bench.registry.gateway(),
        memory,
    };
    let clock = bench.store.clock().clone();
    let metrics = Arc::new(Metrics::new());
    let registry = Registry::new(options, clock.clone(), metrics, Arc::clone(&bench.events));
    let registry = Arc::new(registry);
    for day in 0..365_i64 {
        clock.set_shift_millis(day * 24 * 3600 * 1000);
        let key = bench.key().await;
        bench.expire_in(&key, 24 * 3600).await;
        let principal = bench.principal(&key).await;
        drop(
            registry
                .admit(&principal, session_of(1, 1, Arc::default()))
                .unwrap(),
        );
        registry.apply(&bench.store.revoke(key.id).await.unwrap().change);
        registry.apply(&bench.store.delete(key.id).await.unwrap().change);
    }
    tokio::time::sleep(2 * memory).await;
    registry.forgotten(&registry.spent());
    tokio::time::sleep(memory + Duration::from_millis(1)).await;
    registry.sweep();
    assert!(registry.keys().is_empty());
}

#[tokio::test]
async fn the_gate_of_an_id_that_was_never_a_key_goes() {
    let bench = Bench::new().await;
    let options = RegistryOptions {
        gateway: bench.registry.gateway(),
        memory: Duration::ZERO,
    };
    let clock = bench.store.clock().clone();
    let now = clock.now();
    let metrics = Arc::new(Metrics::new());
    let registry = Registry::new(options, clock, metrics, Arc::clone(&bench.events));
    let never = KeyId(Id::random().unwrap());
    let year = now.saturating_add(Duration::from_secs(365 * 24 * 3600));
    registry.end_revoked(never, now, year, KnownBy::ThisGateway);
    assert!(swept(&registry).is_empty());
    registry.no_such_key(never);
    assert_eq!(swept(&registry), [never]);
}
