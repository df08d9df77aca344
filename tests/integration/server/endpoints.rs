//! The ops listener, and a stop that drains.

use std::sync::Arc;

use tonic::Code;

use crate::support::{FaultyStore, Process, TestGateway, eventually, reason_of};

#[tokio::test]
async fn probes_and_metrics() {
    let store = Arc::new(FaultyStore::new());
    let gateway = TestGateway::over(store.clone(), |_| {}).await;
    assert_eq!(gateway.ops("/healthz").await, (200, "ok\n".into()));
    eventually("it is ready", async || {
        gateway.ops("/readyz").await.0 == 200
    })
    .await;
    assert_eq!(gateway.ops("/nothing").await.0, 404);
    let operator = gateway.operator().await;
    let (_, key) = operator.key("k").await;
    let agent = gateway.agent(&key).await;
    agent.join().await.unwrap();
    agent.join().await.unwrap();
    agent.with_key(Some("nonsense")).join().await.unwrap_err();
    for (sample, value) in [
        ("muster_joins_total", 2.0),
        ("muster_key_cache_misses_total", 1.0),
        ("muster_key_cache_hits_total", 1.0),
        ("muster_refusals_total{reason=\"NOT_A_KEY\"}", 1.0),
        ("muster_verify_seconds_count", 2.0),
        ("muster_sessions_live", 0.0),
    ] {
        assert_eq!(gateway.metric(sample).await, value, "{sample}");
    }
    store.set_failing(true);
    // Not for a moment's fault: the bound is tested in `staleness`.
    assert_eq!(gateway.ops("/readyz").await.0, 200);
    assert_eq!(gateway.ops("/healthz").await.0, 200, "alive all the same");
}

#[tokio::test]
async fn a_stop_ends_sessions_as_our_doing() {
    let gateway = TestGateway::start().await;
    let (_, key) = gateway.operator().await.key("k").await;
    let mut streams = Vec::new();
    for _ in 0..5 {
        streams.push(gateway.agent(&key).await.connect().await);
    }
    gateway.begin_stop();
    for stream in &mut streams {
        let status = stream.end().await;
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        assert_eq!(reason_of(&status), "DRAINING");
    }
    gateway.stopped().await;
}

#[tokio::test]
async fn metrics_come_in_the_format_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = Process::start(folder.path(), &[]).await;
    let plain = gateway.get("/metrics").await;
    assert!(
        plain
            .to_lowercase()
            .contains("content-type: text/plain; version=0.0.4"),
        "{plain}"
    );
    assert!(
        plain.contains("# TYPE muster_joins_total counter\n"),
        "{plain}"
    );
    assert!(!plain.contains("# EOF"), "{plain}");
    let open = gateway
        .get_accepting("/metrics", "application/openmetrics-text")
        .await;
    assert!(
        open.to_lowercase()
            .contains("content-type: application/openmetrics-text"),
        "{open}"
    );
    assert!(
        open.contains("# TYPE muster_joins counter\n") && open.contains("# EOF"),
        "{open}"
    );
}
