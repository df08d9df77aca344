//! The watch over the view's age, on a paused clock.

use tokio_util::sync::CancellationToken;

use super::*;
use crate::gateway::auth::StaleMode;
use crate::keys::Epoch;

const SECOND: Duration = Duration::from_secs(1);

/// A bench with ten sessions and a view, watched.
struct Watched {
    bench: Bench,
    key: PresentedKey,
    view: Arc<StoreView>,
    guards: Vec<SessionGuard>,
    stop: CancellationToken,
}

impl Watched {
    async fn new(mode: StaleMode) -> Self {
        let bench = Bench::new().await;
        let key = bench.key().await;
        let principal = bench.principal(&key).await;
        let admit = |agent| bench.admit(&principal, agent).unwrap();
        let guards = (0..10).map(admit).collect();
        let policy = Staleness {
            mode,
            ..Staleness::default()
        };
        let now = Moment::now();
        let view = Arc::new(StoreView::new(Epoch(1), policy, now));
        let stop = CancellationToken::new();
        let watch = StaleWatch::new(Arc::clone(&bench.registry), Arc::clone(&view));
        tokio::spawn(watch.run(stop.clone()));
        Self {
            bench,
            key,
            view,
            guards,
            stop,
        }
    }

    /// Lets the clock run until the view is so old; what is due by then is done.
    async fn until(&self, age: Duration) {
        tokio::time::sleep(age.saturating_sub(self.view.age())).await;
    }

    fn ended(&self) -> usize {
        let ended = self.guards.iter().filter(|guard| guard.session.has_ended());
        ended.count()
    }
}

#[tokio::test(start_paused = true)]
async fn strict_ends_them_evenly_and_late_comers_at_the_end() {
    let mut watched = Watched::new(StaleMode::Strict).await;
    watched.until(60 * SECOND).await;
    assert_eq!(watched.ended(), 0, "within the bound");
    watched.until(65 * SECOND + SECOND / 2).await;
    assert_eq!(watched.ended(), 5);
    // Judged before the bound, admitted after it.
    let principal = watched.bench.principal(&watched.key).await;
    watched
        .guards
        .push(watched.bench.admit(&principal, 99).unwrap());
    watched.until(70 * SECOND + SECOND / 10).await;
    assert_eq!(watched.ended(), 11);
    for guard in &watched.guards {
        assert_eq!(guard.ended().await, EndReason::StoreNotHeard);
    }
    watched.stop.cancel();
}

#[tokio::test(start_paused = true)]
async fn word_from_the_store_stops_the_ends() {
    let watched = Watched::new(StaleMode::Strict).await;
    watched.until(65 * SECOND + SECOND / 2).await;
    watched.view.refreshed(&Moment::now());
    watched.until(59 * SECOND).await;
    assert_eq!(watched.ended(), 5);
    // And it watches on.
    watched.until(71 * SECOND).await;
    assert_eq!(watched.ended(), 10);
}

#[tokio::test(start_paused = true)]
async fn best_effort_ends_nobody() {
    let watched = Watched::new(StaleMode::BestEffort).await;
    watched.until(3600 * SECOND).await;
    assert_eq!(watched.ended(), 0);
}
