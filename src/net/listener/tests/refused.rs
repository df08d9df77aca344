//! Connections whose last call was refused for good.

use super::raw::{END_STREAM, GOAWAY, HEADERS, RawClient};
use super::*;

fn pausing(refused_pause: Duration) -> Limits {
    Limits {
        refused_pause,
        ..calm()
    }
}

/// Reads until an answer has ended.
async fn answered(client: &mut RawClient) {
    while let Some(frame) = client.next().await {
        if frame.kind == HEADERS && frame.flags & END_STREAM != 0 {
            return;
        }
    }
    panic!("the connection is closed");
}

/// Makes a call that is refused.
async fn refused(gateway: &mut Gateway, client: &mut RawClient, stream: u32) {
    client.request(stream, "/refused", true, &[]).await;
    let served = gateway.served().await;
    served.call.refused();
    served.end();
    answered(client).await;
}

#[tokio::test]
async fn what_comes_after_a_refusal_waits_for_the_next_moment() {
    const PAUSE: Duration = Duration::from_millis(200);
    let mut gateway = Gateway::start(pausing(PAUSE)).await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    let mut stream = 1;
    refused(&mut gateway, &mut client, stream).await;
    // Who is so quick that the connection is still at work is served at once.
    for _ in 0..20 {
        stream += 2;
        let began = Instant::now();
        refused(&mut gateway, &mut client, stream).await;
        if began.elapsed() >= PAUSE {
            return;
        }
    }
    panic!("nothing was put off");
}

#[tokio::test]
async fn a_connection_with_an_open_call_or_a_good_one_is_served_at_once() {
    // Longer than anything here may take.
    let mut gateway = Gateway::start(pausing(10 * MARGIN)).await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    client.request(1, "/open", true, &[]).await;
    let open = gateway.served().await;
    for stream in [3, 5, 7] {
        refused(&mut gateway, &mut client, stream).await;
    }
    client.request(9, "/good", true, &[]).await;
    let good = gateway.served().await;
    good.call.set_owner(key('a'));
    for served in [open, good] {
        served.end();
        answered(&mut client).await;
    }
    client.request(11, "/after", true, &[]).await;
    assert_eq!(gateway.served().await.path, "/after");
}

#[tokio::test]
async fn without_a_pause_nothing_is_put_off() {
    let mut gateway = Gateway::start(pausing(Duration::ZERO)).await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    for stream in [1, 3, 5] {
        refused(&mut gateway, &mut client, stream).await;
    }
}

#[tokio::test]
async fn what_waits_is_told_of_a_drain() {
    let mut gateway = Gateway::start(pausing(10 * MARGIN)).await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    refused(&mut gateway, &mut client, 1).await;
    gateway.shutdown.cancel();
    let frames = client.rest().await;
    assert!(
        frames.iter().any(|frame| frame.kind == GOAWAY),
        "{frames:?}"
    );
    gateway.closes(Duration::ZERO, CloseReason::Drained).await;
}
