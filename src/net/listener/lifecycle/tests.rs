//! The deadlines, with time handed in.

use super::*;

fn key(digit: u8) -> KeyId {
    format!("key_{}", char::from(digit).to_string().repeat(16))
        .parse()
        .unwrap()
}

struct Probe {
    shared: Arc<Shared>,
    zero: Instant,
}

impl Probe {
    /// A connection whose preface has come.
    fn new() -> Self {
        let zero = Instant::now();
        let limits = Limits {
            keepalive_interval: Duration::from_secs(3600),
            ..Limits::default()
        };
        let shared = Shared::new(
            "192.0.2.1:1".parse().unwrap(),
            Arc::new(limits),
            Protocol::Http2,
            zero,
        );
        shared.read(33, zero);
        Self { shared, zero }
    }

    fn at(&self, millis: u64) -> Instant {
        self.zero + Duration::from_millis(millis)
    }

    fn step(&self, millis: u64) -> Step {
        self.shared.next_step(self.at(millis), Waker::noop())
    }

    fn call(&self, owner: Option<KeyId>) -> u64 {
        let id = self.shared.call_began(self.zero);
        if let Some(owner) = owner {
            self.shared.call_owned(id, owner);
        }
        id
    }
}

#[test]
fn the_preface_has_a_deadline() {
    let probe = Probe::new();
    let late = Shared::new(
        probe.shared.peer,
        Arc::new(Limits::default()),
        Protocol::Http2,
        probe.zero,
    );
    late.read(32, probe.zero);
    let step = |millis| late.next_step(probe.at(millis), Waker::noop());
    assert_eq!(step(4_999), Step::Wait(probe.at(5_000)));
    assert_eq!(step(5_000), Step::Close(CloseReason::PrefaceDeadline));
    late.read(1, probe.at(5_000));
    assert!(matches!(step(5_000), Step::Wait(_)));
}

#[test]
fn silence_ends_when_hypers_own_timeout_could_not() {
    let zero = Instant::now();
    let shared = Shared::new(
        "192.0.2.1:1".parse().unwrap(),
        Arc::new(Limits::default()),
        Protocol::Http2,
        zero,
    );
    let at = |seconds| zero + Duration::from_secs(seconds);
    shared.read(33, at(1));
    let step = |seconds| shared.next_step(at(seconds), Waker::noop());
    assert_eq!(step(35), Step::Wait(at(36)));
    assert_eq!(step(36), Step::Close(CloseReason::KeepAlive));
}

#[test]
fn an_idle_connection_gets_goaway_then_is_closed() {
    let probe = Probe::new();
    assert_eq!(probe.step(0), Step::Wait(probe.at(120_000)));
    let id = probe.call(None);
    assert!(
        matches!(probe.step(500_000), Step::Wait(_)),
        "a call is open"
    );
    probe.shared.call_ended(id, probe.at(500_000));
    assert_eq!(probe.step(500_000), Step::Wait(probe.at(620_000)));
    assert_eq!(probe.step(620_000), Step::GoAway);
    assert_eq!(probe.step(620_000), Step::Wait(probe.at(622_000)));
    assert_eq!(probe.step(622_000), Step::Close(CloseReason::Idle));
}

#[test]
fn a_call_that_crosses_an_idle_goaway_lives_on() {
    let probe = Probe::new();
    assert_eq!(probe.step(120_000), Step::GoAway);
    let id = probe.shared.call_began(probe.at(120_001));
    assert!(matches!(probe.step(900_000), Step::Wait(_)));
    probe.shared.call_ended(id, probe.at(900_000));
    assert_eq!(probe.step(900_000), Step::Wait(probe.at(902_000)));
    assert_eq!(probe.step(902_000), Step::Close(CloseReason::Idle));
}

#[test]
fn a_cut_connection_closes_even_without_a_call() {
    let probe = Probe::new();
    let id = probe.call(Some(key(b'a')));
    probe
        .shared
        .cut(id, Some(key(b'a')), Cut::Connection, probe.zero);
    probe.shared.call_ended(id, probe.zero);
    assert_eq!(probe.step(0), Step::Wait(probe.at(2_000)));
    assert_eq!(probe.step(2_000), Step::Close(CloseReason::Cut));
}

#[test]
fn calls_of_the_same_owner_or_of_nobody_protect_nothing() {
    let probe = Probe::new();
    let id = probe.call(Some(key(b'a')));
    probe.call(Some(key(b'a')));
    probe.call(None);
    probe
        .shared
        .cut(id, Some(key(b'a')), Cut::Connection, probe.zero);
    probe.shared.call_ended(id, probe.zero);
    assert_eq!(probe.step(2_000), Step::Close(CloseReason::Cut));
}

#[test]
fn anothers_call_protects_a_connection_unless_the_cut_call_stands() {
    for stands in [false, true] {
        let probe = Probe::new();
        let id = probe.call(Some(key(b'a')));
        probe.call(Some(key(b'b')));
        probe
            .shared
            .cut(id, Some(key(b'a')), Cut::Connection, probe.zero);
        if !stands {
            probe.shared.call_ended(id, probe.zero);
        }
        match probe.step(2_000) {
            Step::Close(CloseReason::Cut) => assert!(stands),
            Step::Wait(_) => assert!(!stands),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_stream_cut_looks_at_its_call_alone() {
    let probe = Probe::new();
    let (ends, stands) = (probe.call(None), probe.call(Some(key(b'b'))));
    probe.shared.cut(ends, None, Cut::Stream, probe.zero);
    probe.shared.call_ended(ends, probe.zero);
    assert!(matches!(probe.step(2_000), Step::Wait(_)));
    probe.shared.cut(ends, None, Cut::Stream, probe.at(2_000));
    assert!(matches!(probe.step(9_000), Step::Wait(_)), "it has ended");
    probe
        .shared
        .cut(stands, Some(key(b'b')), Cut::Stream, probe.at(9_000));
    assert_eq!(probe.step(11_000), Step::Close(CloseReason::Cut));
}

#[test]
fn a_second_cut_widens_but_does_not_delay() {
    let probe = Probe::new();
    let id = probe.call(None);
    probe.shared.cut(id, None, Cut::Stream, probe.zero);
    probe.shared.cut(id, None, Cut::Connection, probe.at(1_900));
    probe.shared.call_ended(id, probe.at(1_900));
    assert_eq!(probe.step(1_900), Step::Wait(probe.at(2_000)));
    assert_eq!(probe.step(2_000), Step::Close(CloseReason::Cut));
}

#[test]
fn a_drain_says_goaway_then_signals_then_ends_hard() {
    let probe = Probe::new();
    probe.call(None);
    probe
        .shared
        .schedule_drain(probe.at(1_000), probe.at(5_000));
    assert_eq!(probe.step(0), Step::Wait(probe.at(1_000)));
    assert_eq!(probe.step(1_000), Step::GoAway);
    assert_eq!(probe.step(1_000), Step::SignalCalls);
    assert_eq!(probe.step(1_000), Step::Wait(probe.at(5_000)));
    assert_eq!(probe.step(5_000), Step::Close(CloseReason::HardEnd));
}

#[test]
fn a_drain_after_an_idle_goaway_still_signals() {
    let probe = Probe::new();
    assert_eq!(probe.step(120_000), Step::GoAway);
    probe.call(None);
    probe
        .shared
        .schedule_drain(probe.at(120_000), probe.at(130_000));
    assert_eq!(probe.step(120_000), Step::SignalCalls);
    assert_eq!(probe.shared.finish(), Some(CloseReason::Drained));
}

#[test]
fn absurd_spans_do_not_panic() {
    let limits = Limits {
        preface_deadline: Duration::MAX,
        keepalive_interval: Duration::MAX,
        keepalive_timeout: Duration::MAX,
        idle_timeout: Duration::MAX,
        cut_after: Duration::MAX,
        ..Limits::default()
    };
    let now = Instant::now();
    let shared = Shared::new(
        "192.0.2.1:1".parse().unwrap(),
        Arc::new(limits),
        Protocol::Http2,
        now,
    );
    let id = shared.call_began(now);
    shared.cut(id, None, Cut::Connection, now);
    shared.schedule_drain(later(now, Duration::MAX), later(now, Duration::MAX));
    assert!(matches!(
        shared.next_step(now, Waker::noop()),
        Step::Wait(_)
    ));
}
