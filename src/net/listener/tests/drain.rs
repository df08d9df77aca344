//! The orderly end.

use super::raw::{GOAWAY, HEADERS, RawClient, no_resets};
use super::*;

#[tokio::test]
async fn a_drain_says_goaway_ends_calls_and_closes() {
    let mut gateway = Gateway::start(calm()).await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    client.request(1, "/", false, &[]).await;
    let served = gateway.served().await;
    let call = Arc::clone(&served.call);
    tokio::spawn(async move {
        served.call.drain().cancelled().await;
        served.end();
    });
    gateway.shutdown.cancel();
    let frames = client.rest().await;
    let goaway = frames
        .iter()
        .position(|frame| frame.kind == GOAWAY)
        .unwrap();
    let trailers = frames
        .iter()
        .rposition(|frame| frame.kind == HEADERS)
        .unwrap();
    assert!(goaway < trailers, "GOAWAY comes first: {frames:?}");
    assert!(frames[trailers].flags & super::raw::END_STREAM != 0);
    no_resets(&frames);
    timeout(MARGIN, &mut gateway.serving)
        .await
        .unwrap()
        .unwrap();
    assert!(!call.is_open());
    gateway.closes(Duration::ZERO, CloseReason::Drained).await;
    TcpStream::connect(gateway.address).await.unwrap_err();
}

#[tokio::test]
async fn what_does_not_end_is_closed_hard_without_a_reset() {
    let drain_over = Duration::from_millis(300);
    let mut gateway = Gateway::start_draining_over(calm(), drain_over).await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    client.request(1, "/", false, &[]).await;
    let _stays = gateway.served().await;
    let began = Instant::now();
    gateway.shutdown.cancel();
    no_resets(&client.rest().await);
    timeout(MARGIN, &mut gateway.serving)
        .await
        .unwrap()
        .unwrap();
    assert!(began.elapsed() >= drain_over + calm().cut_after);
    gateway.closes(Duration::ZERO, CloseReason::HardEnd).await;
}

#[tokio::test]
async fn connections_go_one_after_another() {
    let drain_over = Duration::from_millis(600);
    let mut gateway = Gateway::start_draining_over(calm(), drain_over).await;
    let mut clients = Vec::new();
    let mut calls = Vec::new();
    for _ in 0..3 {
        let mut client = RawClient::connect(&gateway, &[]).await;
        client.request(1, "/", false, &[]).await;
        clients.push(client);
        calls.push(gateway.served().await);
    }
    let began = Instant::now();
    gateway.shutdown.cancel();
    let mut moments = Vec::new();
    for served in &calls {
        let drain = served.call.drain().clone();
        moments.push(tokio::spawn(async move {
            drain.cancelled().await;
            began.elapsed()
        }));
    }
    let mut signalled = Vec::new();
    for moment in moments {
        signalled.push(timeout(MARGIN, moment).await.unwrap().unwrap());
    }
    signalled.sort();
    for (nth, moment) in (0u32..).zip(&signalled) {
        assert!(*moment >= drain_over / 3 * nth, "{signalled:?}");
    }
    for served in &calls {
        served.end();
    }
    for client in &mut clients {
        no_resets(&client.rest().await);
    }
    timeout(MARGIN, &mut gateway.serving)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_handshake_does_not_hold_the_drain_up() {
    let mut gateway = Gateway::start(calm()).await;
    let _silent = TcpStream::connect(gateway.address).await.unwrap();
    // A second connection that is served shows that the first is accepted.
    let client = gateway.tls().await;
    assert_eq!(gateway.saw().await, Seen::Opened);
    drop(client);
    assert_eq!(gateway.saw().await, Seen::Closed(CloseReason::Peer));
    gateway.shutdown.cancel();
    assert_eq!(
        gateway.saw().await,
        Seen::Refused(RefuseReason::ShuttingDown)
    );
    timeout(MARGIN, &mut gateway.serving)
        .await
        .unwrap()
        .unwrap();
}
