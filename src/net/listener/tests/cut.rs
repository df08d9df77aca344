//! Cutting, above all of peers that don't cooperate.

use super::raw::{DATA, GOAWAY, HEADERS, RST_STREAM, RawClient, no_resets};
use super::*;

const INITIAL_WINDOW_SIZE: u16 = 4;

#[tokio::test]
async fn a_cut_closes_the_socket_of_a_peer_that_stays() {
    let mut gateway = Gateway::start(calm()).await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    client.request(1, "/", false, &[]).await;
    let served = gateway.served().await;
    served.call.set_owner(key('a'));
    served.call.cut(Cut::Connection);
    served.end();
    let began = Instant::now();
    let frames = client.rest().await;
    assert!(began.elapsed() + Duration::from_millis(50) >= calm().cut_after);
    // The peer had the time to read the end, and saw no other frame after it.
    let trailers = frames.iter().filter(|frame| frame.kind == HEADERS).count();
    assert_eq!(trailers, 2, "{frames:?}");
    no_resets(&frames);
    assert!(
        frames.iter().all(|frame| frame.kind != GOAWAY),
        "{frames:?}"
    );
    gateway.closes(Duration::ZERO, CloseReason::Cut).await;
    assert!(!served.call.is_open());
}

#[tokio::test]
async fn a_peer_with_a_closed_window_is_cut() {
    for scope in [Cut::Connection, Cut::Stream] {
        let mut gateway = Gateway::start(calm()).await;
        let mut client = RawClient::connect(&gateway, &[(INITIAL_WINDOW_SIZE, 0)]).await;
        client.request(1, "/", false, &[]).await;
        let served = gateway.served().await;
        served.send(b"x");
        // Behind data that can't be sent, so hyper never asks for it.
        served.end();
        served.call.cut(scope);
        let frames = client.rest().await;
        assert!(frames.iter().all(|frame| frame.kind != DATA), "{frames:?}");
        no_resets(&frames);
        gateway.closes(Duration::ZERO, CloseReason::Cut).await;
    }
}

#[tokio::test]
async fn a_peer_that_reads_nothing_at_all_is_cut() {
    let mut gateway = Gateway::start(calm()).await;
    let (mut client, served) = full(&mut gateway).await;
    served.call.cut(Cut::Connection);
    gateway.closes(calm().cut_after, CloseReason::Cut).await;
    assert!(
        !client
            .rest()
            .await
            .iter()
            .any(|frame| frame.kind == RST_STREAM)
    );
}

#[tokio::test]
async fn a_stream_cut_leaves_a_connection_whose_call_has_ended() {
    let mut gateway = Gateway::start(calm()).await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    client.request(1, "/first", true, &[]).await;
    let served = gateway.served().await;
    served.call.cut(Cut::Stream);
    served.end();
    let reading = tokio::spawn(async move {
        while let Some(frame) = client.next().await {
            if frame.kind == HEADERS && frame.flags & super::raw::END_STREAM != 0 {
                break;
            }
        }
        client
    });
    let mut client = timeout(MARGIN, reading).await.unwrap().unwrap();
    sleep(calm().cut_after * 2).await;
    client.request(3, "/second", true, &[]).await;
    assert_eq!(gateway.served().await.path, "/second");
}

#[tokio::test]
async fn a_connection_that_carries_anothers_call_is_left_alone() {
    let mut gateway = Gateway::start(calm()).await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    client.request(1, "/cut", false, &[]).await;
    let cut = gateway.served().await;
    client.request(3, "/other", false, &[]).await;
    let other = gateway.served().await;
    cut.call.set_owner(key('a'));
    other.call.set_owner(key('b'));
    cut.call.cut(Cut::Connection);
    cut.end();
    sleep(calm().cut_after * 2).await;
    assert!(!cut.call.is_open());
    assert!(other.call.is_open());
    client.request(5, "/third", false, &[]).await;
    assert_eq!(gateway.served().await.path, "/third");
}

#[tokio::test]
async fn anothers_call_does_not_protect_a_peer_that_reads_nothing() {
    let mut gateway = Gateway::start(calm()).await;
    let mut client = RawClient::connect(&gateway, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    client.request(1, "/cut", false, &[]).await;
    let cut = gateway.served().await;
    client.request(3, "/other", false, &[]).await;
    let other = gateway.served().await;
    cut.call.set_owner(key('a'));
    other.call.set_owner(key('b'));
    cut.send(b"x");
    cut.end();
    cut.call.cut(Cut::Connection);
    no_resets(&client.rest().await);
    gateway.closes(Duration::ZERO, CloseReason::Cut).await;
}

#[tokio::test]
async fn cutting_is_for_any_thread_and_for_after_the_end() {
    let mut gateway = Gateway::start(calm()).await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    client.request(1, "/", false, &[]).await;
    let served = gateway.served().await;
    let call = Arc::clone(&served.call);
    std::thread::spawn(move || {
        call.cut(Cut::Stream);
        call.cut(Cut::Connection);
    })
    .join()
    .unwrap();
    served.end();
    client.rest().await;
    gateway.closes(Duration::ZERO, CloseReason::Cut).await;
    served.call.cut(Cut::Connection);
}

/// hyper's own keepalive gives up at its timeout, but then waits until GOAWAY
/// is written, which a full TCP buffer prevents.
#[tokio::test]
async fn a_peer_that_reads_nothing_falls_to_silence_without_any_cut() {
    let short = Duration::from_millis(200);
    let mut gateway = Gateway::start(Limits {
        keepalive_interval: short,
        keepalive_timeout: short,
        ..calm()
    })
    .await;
    let (client, served) = full(&mut gateway).await;
    gateway.closes(short * 2, CloseReason::KeepAlive).await;
    drop((client, served));
}

/// A peer with the widest windows that reads nothing, and more on its way than
/// the system's buffers take.
async fn full(gateway: &mut Gateway) -> (RawClient, Served) {
    let wide = 0x7fff_ffff;
    let mut client = RawClient::connect(gateway, &[(INITIAL_WINDOW_SIZE, wide)]).await;
    let grow = (wide - 65_535).to_be_bytes();
    client.send(super::raw::WINDOW_UPDATE, 0, 0, &grow).await;
    client.request(1, "/", false, &[]).await;
    let served = gateway.served().await;
    let chunk = vec![0; 1 << 20];
    for _ in 0..32 {
        served.send(&chunk);
    }
    (client, served)
}
