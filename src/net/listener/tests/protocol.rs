//! What is on the wire: our settings, our answers to broken rules.

use std::collections::HashMap;

use super::raw::{DATA, GOAWAY, HEADERS, RST_STREAM, RawClient, SETTINGS};
use super::*;

/// Pinned, so that a dependency can't change them silently. Settings that are
/// not in the frame have the protocol's defaults.
#[tokio::test]
async fn our_settings_are_these() {
    let gateway = Gateway::start(Limits::default()).await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    let settings = client.next().await.unwrap();
    assert_eq!(settings.kind, SETTINGS);
    let sent: HashMap<u16, u32> = settings
        .payload
        .chunks(6)
        .map(|entry| {
            let id = u16::from_be_bytes([entry[0], entry[1]]);
            (id, u32::from_be_bytes(entry[2..].try_into().unwrap()))
        })
        .collect();
    let expected = HashMap::from([
        (1, 4_096),  // HEADER_TABLE_SIZE
        (3, 16),     // MAX_CONCURRENT_STREAMS
        (4, 65_536), // INITIAL_WINDOW_SIZE
        (5, 16_384), // MAX_FRAME_SIZE
        (6, 16_384), // MAX_HEADER_LIST_SIZE
    ]);
    assert_eq!(sent, expected);
    // The connection's window starts at 65,535 and is raised by a frame.
    let raise = client.next().await.unwrap();
    assert_eq!((raise.kind, raise.stream), (super::raw::WINDOW_UPDATE, 0));
    assert_eq!(raise.number(0), 256 * 1024 - 65_535);
}

#[tokio::test]
async fn an_h2_client_sees_the_stream_limit() {
    let mut gateway = Gateway::start(Limits::default()).await;
    let (send, connection) = h2::client::handshake(gateway.tls().await).await.unwrap();
    let driving = tokio::spawn(connection);
    let mut send = send.ready().await.unwrap();
    let request = Request::post("https://x/").body(()).unwrap();
    let (response, _body) = send.send_request(request, false).unwrap();
    let served = gateway.served().await;
    served.send(b"x");
    served.end();
    let mut body = timeout(MARGIN, response)
        .await
        .unwrap()
        .unwrap()
        .into_body();
    assert_eq!(body.data().await.unwrap().unwrap(), "x");
    assert_eq!(body.trailers().await.unwrap().unwrap()["grpc-status"], "14");
    assert_eq!(send.current_max_send_streams(), 16);
    driving.abort();
}

#[tokio::test]
async fn an_early_end_resets_with_no_error() {
    let mut gateway = Gateway::start(calm()).await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    client.request(1, "/", false, &[]).await;
    let served = gateway.served().await;
    served.end();
    drop(served);
    loop {
        let frame = timeout(MARGIN, client.next()).await.unwrap().unwrap();
        if frame.kind == RST_STREAM {
            assert_eq!(frame.number(0), 0, "NO_ERROR");
            break;
        }
    }
}

#[tokio::test]
async fn a_thousand_stream_errors_end_in_goaway() {
    let mut gateway = Gateway::start(Limits::default()).await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    // content-length (static name 28): 5, and no body.
    let lie = [0x0f, 0x0d, 1, b'5'];
    for nth in 0..1_000 {
        if !client.request(nth * 2 + 1, "/", true, &lie).await {
            break;
        }
    }
    let frames = client.rest().await;
    let goaway = frames.iter().find(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(goaway.number(4), 11, "ENHANCE_YOUR_CALM");
    let resets = frames.iter().filter(|frame| frame.kind == RST_STREAM);
    assert!(resets.count() <= 64);
    gateway.closes(Duration::ZERO, CloseReason::Protocol).await;
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let mut gateway = Gateway::start(Limits {
        max_concurrent_streams: 2,
        ..calm()
    })
    .await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    for stream in [1, 3, 5] {
        client.request(stream, "/", false, &[]).await;
    }
    loop {
        let frame = timeout(MARGIN, client.next()).await.unwrap().unwrap();
        if frame.kind == RST_STREAM {
            assert_eq!((frame.stream, frame.number(0)), (5, 7), "REFUSED_STREAM");
            break;
        }
    }
    let (_first, _second) = (gateway.served().await, gateway.served().await);
    assert!(gateway.calls.try_recv().is_err());
}

#[tokio::test]
async fn a_handler_that_panics_is_answered() {
    let mut gateway = Gateway::start(calm()).await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    client.request(1, "/panic", true, &[]).await;
    client.request(3, "/", true, &[]).await;
    assert_eq!(gateway.served().await.path, "/");
    loop {
        let frame = timeout(MARGIN, client.next()).await.unwrap().unwrap();
        assert_ne!(frame.kind, RST_STREAM);
        if frame.kind == HEADERS && frame.stream == 1 {
            break;
        }
        assert_ne!(frame.kind, DATA);
    }
}

#[tokio::test]
async fn an_answer_that_fails_never_says_cancel() {
    let mut gateway = Gateway::start(calm()).await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    client.request(1, "/", true, &[]).await;
    gateway.served().await.fail();
    loop {
        let frame = timeout(MARGIN, client.next()).await.unwrap().unwrap();
        if frame.kind == RST_STREAM {
            assert_eq!(frame.number(0), 2, "INTERNAL_ERROR");
            break;
        }
    }
}
