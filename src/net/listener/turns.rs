//! Which part of a connection has something to do.
//!
//! Owns: the wakes of a connection's parts, which all run in its one task. Must
//! not know: what the parts are. Invariant: a part that is woken is polled once
//! more; only if its task rests does a wake go through the scheduler, and only
//! where the connection can wait is that put off.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::task::{Context, Wake, Waker};

use futures_util::task::AtomicWaker;

use super::moments::Moments;

/// Something in a connection's task that is polled by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Part {
    /// hyper's connection: the socket, TLS, HTTP.
    Protocol = 1,
    /// The calls that it carries.
    Calls = 2,
}

/// Beside the parts' bits: the task is at work and looks at them again.
const AT_WORK: u8 = 4;

/// The parts of one connection that were woken and not polled since.
#[derive(Debug)]
pub(super) struct Turns {
    bits: AtomicU8,
    task: AtomicWaker,
    can_wait: AtomicBool,
    moments: Arc<Moments>,
}

#[derive(Debug)]
struct WakesPart {
    turns: Arc<Turns>,
    part: Part,
}

impl Wake for WakesPart {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.turns.wake(self.part);
    }
}

impl Turns {
    /// Each part has its first turn to come.
    pub fn new(moments: Arc<Moments>) -> Arc<Self> {
        Arc::new(Self {
            bits: AtomicU8::new(Part::Protocol as u8 | Part::Calls as u8),
            task: AtomicWaker::new(),
            can_wait: AtomicBool::new(false),
            moments,
        })
    }

    /// Wakes `part` alone.
    pub fn waker(self: &Arc<Self>, part: Part) -> Waker {
        let turns = Arc::clone(self);
        Waker::from(Arc::new(WakesPart { turns, part }))
    }

    /// Gives `part` a turn.
    pub fn wake(self: &Arc<Self>, part: Part) {
        // Whoever sets the first bit while the task rests wakes it.
        if self.bits.fetch_or(part as u8, Ordering::AcqRel) != 0 {
            return;
        }
        if self.can_wait.load(Ordering::Relaxed) {
            self.moments.put_off(Arc::clone(self));
        } else {
            self.wake_task();
        }
    }

    /// Wakes the task, which finds out whose turn it is.
    pub fn wake_task(&self) {
        self.task.wake();
    }

    /// The task begins to work: it looks at every part that is woken from now on.
    pub fn begin(&self, cx: &Context<'_>) {
        self.task.register(cx.waker());
        self.bits.fetch_or(AT_WORK, Ordering::AcqRel);
    }

    /// Whether it is `part`'s turn, which is taken with that.
    pub fn take(&self, part: Part) -> bool {
        self.bits.fetch_and(!(part as u8), Ordering::AcqRel) & part as u8 != 0
    }

    /// The task rests, unless a part was woken. If it `can_wait`, the next wake of
    /// a part counts at the next of the [`Moments`] only.
    pub fn rest(&self, can_wait: bool) -> bool {
        let can_wait = can_wait && self.moments.are_kept();
        self.can_wait.store(can_wait, Ordering::Relaxed);
        self.bits
            .compare_exchange(AT_WORK, 0, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The task lets others work and comes back, whoever is woken meanwhile.
    pub fn pause(&self, cx: &Context<'_>) {
        cx.waker().wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    const PAUSE: Duration = Duration::from_millis(50);

    #[derive(Default)]
    struct Task(AtomicUsize);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// A task that rests, and how to count its wakes.
    fn resting(moments: &Arc<Moments>, can_wait: bool) -> (Arc<Turns>, Arc<Task>, Waker) {
        let turns = Turns::new(Arc::clone(moments));
        let task = Arc::<Task>::default();
        let waker = Waker::from(Arc::clone(&task));
        turns.begin(&Context::from_waker(&waker));
        assert!(turns.take(Part::Protocol) && turns.take(Part::Calls));
        assert!(turns.rest(can_wait));
        (turns, task, waker)
    }

    fn wakes(task: &Task) -> usize {
        task.0.load(Ordering::SeqCst)
    }

    #[test]
    fn a_resting_task_is_woken_once_for_all_its_parts() {
        let (turns, task, waker) = resting(&Moments::new(PAUSE), false);
        turns.waker(Part::Calls).wake();
        turns.waker(Part::Protocol).wake();
        assert_eq!(wakes(&task), 1);
        turns.begin(&Context::from_waker(&waker));
        assert!(turns.take(Part::Calls) && turns.take(Part::Protocol));
        assert!(!turns.take(Part::Calls) && !turns.take(Part::Protocol));
        assert!(turns.rest(false));
    }

    #[test]
    fn a_working_task_looks_again_without_being_woken() {
        let (turns, task, waker) = resting(&Moments::new(PAUSE), false);
        turns.begin(&Context::from_waker(&waker));
        turns.waker(Part::Calls).wake();
        assert!(!turns.rest(false));
        assert!(!turns.take(Part::Protocol));
        assert!(turns.take(Part::Calls));
        assert!(turns.rest(false));
        assert_eq!(wakes(&task), 0);
    }

    #[test]
    fn a_task_that_pauses_comes_back_by_itself() {
        let (turns, task, waker) = resting(&Moments::new(PAUSE), false);
        let cx = Context::from_waker(&waker);
        turns.begin(&cx);
        turns.wake(Part::Calls);
        turns.pause(&cx);
        turns.wake(Part::Protocol);
        assert_eq!(wakes(&task), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn tasks_that_can_wait_are_woken_together() {
        const INSTANT: Duration = Duration::from_millis(1);
        let moments = Moments::new(PAUSE);
        let (one, first, _) = resting(&moments, true);
        let (two, second, waker) = resting(&moments, true);
        let counted = || (wakes(&first), wakes(&second));
        let keeping = tokio::spawn(async move { moments.keep().await });

        one.wake(Part::Protocol);
        sleep(PAUSE / 2).await;
        two.wake(Part::Protocol);
        two.wake(Part::Calls);
        sleep(PAUSE / 2 - INSTANT).await;
        assert_eq!(counted(), (0, 0));
        sleep(2 * INSTANT).await;
        assert_eq!(counted(), (1, 1));

        // The next moment is one for whoever comes after that.
        two.begin(&Context::from_waker(&waker));
        assert!(two.take(Part::Protocol) && two.take(Part::Calls));
        assert!(two.rest(true));
        two.wake(Part::Protocol);
        sleep(PAUSE - INSTANT).await;
        assert_eq!(counted(), (1, 1));
        sleep(2 * INSTANT).await;
        assert_eq!(counted(), (1, 2));
        keeping.abort();
    }

    #[test]
    fn without_a_pause_no_task_waits() {
        let (turns, task, _) = resting(&Moments::new(Duration::ZERO), true);
        turns.wake(Part::Protocol);
        assert_eq!(wakes(&task), 1);
    }
}
