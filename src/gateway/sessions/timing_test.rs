//! The timers' entries go with the gates that they are about.

use super::*;

#[tokio::test]
async fn a_gate_that_is_swept_takes_its_timer_along() {
    let bench = Bench::new().await;
    let options = RegistryOptions {
        gateway: bench.registry.gateway(),
        memory: Duration::ZERO,
    };
    let clock = bench.store.clock().clone();
    let events = Arc::clone(&bench.events);
    let registry = Registry::new(options, clock, Arc::new(Metrics::new()), events);
    let key = bench.key().await;
    for name in [
        "the first edit makes the gate",
        "the second asks for a timer",
    ] {
        let edit = KeyEdit {
            name: Some(name.into()),
            ..KeyEdit::default()
        };
        registry.apply(&bench.store.edit(key.id, edit).await.unwrap().change);
    }
    assert_eq!(registry.deadlines().len(), 1);
    assert_eq!(swept(&registry), [key.id]);
    assert_eq!(registry.deadlines().len(), 0);
}

/// What a sweep does to a key whose gate another admit has made anew since.
#[tokio::test]
async fn a_live_session_keeps_its_timer() {
    let bench = Bench::new().await;
    let key = bench.key().await;
    let guard = bench.admit(&bench.principal(&key).await, 1).unwrap();
    bench.registry.stop_timing(key.id);
    assert_eq!(bench.registry.deadlines().len(), 1);
    drop(guard);
    bench.registry.stop_timing(key.id);
    assert_eq!(bench.registry.deadlines().len(), 0);
}
