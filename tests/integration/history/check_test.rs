//! The checker against histories made by hand: good ones pass, and each way to
//! break an invariant is found, as that one and no other.

use std::time::Duration;

use super::check::{Answer, Bounds, Entry, Invariant, Op, check};

const BOUNDS: Bounds = Bounds {
    joins: Duration::from_secs(2),
    sessions: Duration::from_secs(3),
};

/// On gateway 1, of key 1, times in milliseconds.
fn entry(op: Op, begun: u64, done: u64, answer: Answer) -> Entry {
    Entry {
        key: 1,
        gateway: Some(1),
        op,
        begun: Duration::from_millis(begun),
        done: Duration::from_millis(done),
        answer,
    }
}

fn on(gateway: u64, entry: Entry) -> Entry {
    Entry {
        gateway: Some(gateway),
        ..entry
    }
}

fn created() -> Entry {
    entry(Op::Create, 0, 10, Answer::Yes)
}

fn revoked() -> Entry {
    entry(Op::Revoke, 1_000, 1_010, Answer::Yes)
}

fn join(at: u64, answer: Answer) -> Entry {
    entry(Op::Join, at, at + 5, answer)
}

/// A session from `at` to `until`.
fn session(at: u64, until: Option<u64>) -> Vec<Entry> {
    let subscribed = entry(Op::Subscribe(7), at, at + 5, Answer::Yes);
    let ended = until.map(|at| entry(Op::End(7), at, at, Answer::Ended));
    [subscribed].into_iter().chain(ended).collect()
}

fn found(parts: &[&[Entry]]) -> Vec<Invariant> {
    let found = check(&parts.concat(), BOUNDS);
    found.into_iter().map(|violation| violation.of).collect()
}

#[test]
fn good_histories_pass() {
    let all = found(&[
        &[created(), join(100, Answer::Yes), revoked()],
        &session(200, Some(1_005)),
        &[
            join(1_020, Answer::Ended),
            // Elsewhere it is not known yet, within the bound.
            on(2, join(3_000, Answer::Yes)),
            on(2, join(3_500, Answer::Unknown)),
            on(2, join(4_000, Answer::Ended)),
            entry(Op::Delete, 5_000, 5_010, Answer::Yes),
            join(6_000, Answer::Refused("KEY_INVALID".into())),
            entry(Op::Read, 9_000, 9_005, Answer::Ended),
        ],
    ]);
    assert_eq!(all, []);
}

#[test]
fn an_unacknowledged_change_may_have_happened_or_not() {
    let asked = entry(Op::Revoke, 1_000, 3_000, Answer::Unknown);
    for answer in [Answer::Yes, Answer::Ended] {
        let all = found(&[&[created(), asked.clone(), join(20_000, answer)]]);
        assert_eq!(all, []);
    }
    // But not both.
    let both = [
        asked,
        join(10_000, Answer::Ended),
        join(20_000, Answer::Yes),
    ];
    assert_eq!(found(&[&both]), [Invariant::I3]);
}

#[test]
fn a_revoke_may_die_with_the_gateway_that_could_not_write_it() {
    let asked = entry(Op::Revoke, 1_000, 3_000, Answer::Unknown);
    let history = |told_by| {
        let told = on(told_by, join(3_100, Answer::Ended));
        let back = on(2, join(20_000, Answer::Yes));
        found(&[&[created(), asked.clone(), told, back]])
    };
    assert_eq!(history(1), []);
    // Another one has it from the store.
    assert_eq!(history(3), [Invariant::I3]);
}

#[test]
fn faults_of_the_gateway_never_blame_the_agent() {
    let history = [
        created(),
        join(100, Answer::Unknown),
        entry(Op::End(7), 200, 200, Answer::Unknown),
        entry(Op::Edit, 300, 400, Answer::Unknown),
        join(500, Answer::Yes),
    ];
    assert_eq!(found(&[&history]), []);
}

#[test]
fn the_checker_finds_a_join_past_the_bound() {
    let late = on(2, join(3_100, Answer::Yes));
    assert_eq!(found(&[&[created(), revoked(), late]]), [Invariant::I1]);
}

#[test]
fn the_checker_finds_a_session_past_the_bound() {
    let lives_on = session(200, None);
    let later = on(2, join(4_100, Answer::Ended));
    let all = found(&[&[created(), revoked()], &lives_on, &[later]]);
    assert_eq!(all, [Invariant::I2]);
    let late = session(200, Some(4_100));
    assert_eq!(found(&[&[created(), revoked()], &late]), [Invariant::I2]);
}

#[test]
fn the_checker_finds_a_join_after_a_refusal() {
    let history = |gateway, at| {
        let back = on(gateway, join(at, Answer::Yes));
        found(&[&[created(), revoked(), join(1_100, Answer::Ended), back]])
    };
    // The same gateway knows better; another one has the bound.
    assert_eq!(history(1, 1_200), [Invariant::I3]);
    assert_eq!(history(2, 1_200), []);
    assert_eq!(history(2, 3_200), [Invariant::I1, Invariant::I3]);
}

#[test]
fn the_checker_finds_a_good_key_that_was_refused() {
    for answer in [Answer::Ended, Answer::Refused("KEY_INVALID".into())] {
        let wrong = join(500, answer.clone());
        assert_eq!(found(&[&[created(), wrong]]), [Invariant::I4]);
        let before = [created(), join(500, answer.clone()), revoked()];
        assert_eq!(found(&[&before]), [Invariant::I4]);
        let end = entry(Op::End(7), 500, 500, answer.clone());
        assert_eq!(found(&[&[created(), end]]), [Invariant::I4]);
        let lost = entry(Op::Read, 500, 510, answer);
        assert_eq!(found(&[&[created(), lost]]), [Invariant::I4]);
    }
}

#[test]
fn the_checker_finds_a_lost_revoke() {
    let read = entry(Op::Read, 9_000, 9_005, Answer::Yes);
    assert_eq!(found(&[&[created(), revoked(), read]]), [Invariant::I5]);
}

#[test]
fn keys_are_judged_apart() {
    let mut other = join(9_000, Answer::Yes);
    other.key = 2;
    assert_eq!(found(&[&[created(), revoked(), other]]), []);
}
