//! HTTP/1.1 beside HTTP/2, where it is offered.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::raw::PREFACE;
use super::*;

const SHORT: Duration = Duration::from_millis(150);
const GET: &[u8] = b"GET /one HTTP/1.1\r\nhost: x\r\n\r\n";

async fn speaking(limits: Limits) -> Gateway {
    Gateway::start_speaking(&[HTTP2, HTTP1], limits, Duration::ZERO).await
}

/// Reads until `end` has come.
async fn read_until(client: &mut TlsStream<TcpStream>, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let mut byte = [0];
        let read = timeout(MARGIN, client.read(&mut byte)).await.unwrap();
        assert_eq!(read.unwrap(), 1, "{}", String::from_utf8_lossy(&text));
        text.push(byte[0]);
    }
    String::from_utf8(text).unwrap()
}

#[tokio::test]
async fn requests_are_served_one_after_the_other() {
    let mut gateway = speaking(calm()).await;
    let mut client = gateway.tls().await;
    for _ in 0..2 {
        client.write_all(GET).await.unwrap();
        let call = gateway.served().await;
        assert_eq!(call.path, "/one");
        call.send(b"hello");
        drop(call);
        let answer = read_until(&mut client, "0\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.contains("hello"), "{answer}");
    }
}

#[tokio::test]
async fn http2_alone_takes_nothing_else() {
    let mut gateway = Gateway::start(calm()).await;
    let mut client = gateway.tls().await;
    client.write_all(GET).await.unwrap();
    let mut rest = Vec::new();
    let ended = timeout(MARGIN, client.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the socket is still open");
    assert!(gateway.calls.try_recv().is_err());
}

#[tokio::test]
async fn headers_have_a_deadline() {
    for sent in [&b""[..], b"GET / HT", PREFACE] {
        let mut gateway = speaking(Limits {
            preface_deadline: SHORT,
            ..calm()
        })
        .await;
        let mut client = gateway.tls().await;
        client.write_all(sent).await.unwrap();
        let mut rest = Vec::new();
        let ended = timeout(SHORT + MARGIN, client.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the socket is still open");
        assert_eq!(gateway.saw().await, Seen::Opened);
        assert!(matches!(gateway.saw().await, Seen::Closed(_)));
    }
}

#[tokio::test]
async fn an_answer_may_take_long_and_an_idle_connection_goes() {
    let limits = Limits {
        keepalive_interval: SHORT,
        keepalive_timeout: SHORT,
        idle_timeout: SHORT,
        ..calm()
    };
    let mut gateway = speaking(limits).await;
    let mut client = gateway.tls().await;
    client.write_all(GET).await.unwrap();
    let call = gateway.served().await;
    // Far longer than a silent HTTP/2 peer is borne.
    tokio::time::sleep(5 * SHORT).await;
    call.send(b"late");
    drop(call);
    let answer = read_until(&mut client, "0\r\n\r\n").await;
    assert!(answer.contains("late"), "{answer}");
    let mut rest = Vec::new();
    let ended = timeout(MARGIN, client.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "the socket is still open");
}

#[tokio::test]
async fn a_drain_waits_for_the_answer() {
    let mut gateway = speaking(calm()).await;
    let mut client = gateway.tls().await;
    client.write_all(GET).await.unwrap();
    let call = gateway.served().await;
    gateway.shutdown.cancel();
    timeout(MARGIN, call.call.drain().cancelled())
        .await
        .unwrap();
    call.send(b"last");
    drop(call);
    let answer = read_until(&mut client, "0\r\n\r\n").await;
    assert!(answer.contains("last"), "{answer}");
    timeout(MARGIN, gateway.serving).await.unwrap().unwrap();
}
