//! Peers that say too little.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::raw::{GOAWAY, PREFACE, RawClient};
use super::*;

const SHORT: Duration = Duration::from_millis(150);

#[tokio::test]
async fn a_silent_client_is_cut_at_the_tls_deadline() {
    let mut gateway = Gateway::start(Limits {
        tls_deadline: SHORT,
        ..calm()
    })
    .await;
    let began = Instant::now();
    let mut silent = TcpStream::connect(gateway.address).await.unwrap();
    assert_eq!(
        gateway.saw().await,
        Seen::Refused(RefuseReason::TlsDeadline)
    );
    assert!(began.elapsed() >= SHORT);
    let read = timeout(MARGIN, silent.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
}

#[tokio::test]
async fn what_is_not_tls_is_refused() {
    let mut gateway = Gateway::start(calm()).await;
    let mut plain = TcpStream::connect(gateway.address).await.unwrap();
    plain.write_all(PREFACE).await.unwrap();
    assert_eq!(gateway.saw().await, Seen::Refused(RefuseReason::NotTls));
}

#[tokio::test]
async fn no_preface_is_cut_and_so_is_a_part_of_it() {
    let partial = [PREFACE, &[0; 8]].concat();
    for sent in [&b""[..], &PREFACE[..12], PREFACE, &partial] {
        let mut gateway = Gateway::start(Limits {
            preface_deadline: SHORT,
            ..calm()
        })
        .await;
        let mut client = gateway.tls().await;
        client.write_all(sent).await.unwrap();
        gateway.closes(SHORT, CloseReason::PrefaceDeadline).await;
        let mut rest = Vec::new();
        let ended = timeout(MARGIN, client.read_to_end(&mut rest)).await;
        assert!(ended.is_ok(), "the socket is still open");
    }
}

#[tokio::test]
async fn one_byte_at_a_time_does_not_move_the_deadline() {
    let mut gateway = Gateway::start(Limits {
        preface_deadline: SHORT,
        ..calm()
    })
    .await;
    let mut client = gateway.tls().await;
    let dripping = tokio::spawn(async move {
        for byte in PREFACE {
            let _ = client.write_all(&[*byte]).await;
            let _ = client.flush().await;
            sleep(SHORT / 4).await;
        }
    });
    gateway.closes(SHORT, CloseReason::PrefaceDeadline).await;
    dripping.abort();
}

#[tokio::test]
async fn an_idle_connection_gets_goaway_and_closes() {
    let mut gateway = Gateway::start(Limits {
        idle_timeout: SHORT,
        ..calm()
    })
    .await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    let frames = client.rest().await;
    let goaway = frames.iter().find(|frame| frame.kind == GOAWAY).unwrap();
    assert_eq!(goaway.number(4), 0, "NO_ERROR");
    gateway.closes(Duration::ZERO, CloseReason::Idle).await;
}

#[tokio::test]
async fn an_idle_peer_that_ignores_goaway_is_closed() {
    let mut gateway = Gateway::start(Limits {
        idle_timeout: SHORT,
        ..calm()
    })
    .await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    client.answers_pings = false;
    gateway
        .closes(SHORT + calm().cut_after, CloseReason::Idle)
        .await;
}

#[tokio::test]
async fn an_open_call_is_not_idle() {
    let mut gateway = Gateway::start(Limits {
        idle_timeout: SHORT,
        ..calm()
    })
    .await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    client.request(1, "/", false, &[]).await;
    let served = gateway.served().await;
    sleep(SHORT * 3).await;
    assert!(served.call.is_open());
    served.end();
    let frames = client.rest().await;
    assert!(
        frames.iter().any(|frame| frame.kind == GOAWAY),
        "{frames:?}"
    );
    gateway.closes(Duration::ZERO, CloseReason::Idle).await;
}

#[tokio::test]
async fn a_peer_that_answers_no_ping_is_cut() {
    let mut gateway = Gateway::start(Limits {
        keepalive_interval: SHORT,
        keepalive_timeout: SHORT,
        ..calm()
    })
    .await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    client.answers_pings = false;
    gateway.closes(SHORT * 2, CloseReason::KeepAlive).await;
}

#[tokio::test]
async fn a_peer_that_answers_pings_stays() {
    let mut gateway = Gateway::start(Limits {
        keepalive_interval: SHORT / 3,
        keepalive_timeout: SHORT * 4,
        ..calm()
    })
    .await;
    let mut client = RawClient::connect(&gateway, &[]).await;
    let reading = tokio::spawn(async move { client.rest().await });
    sleep(SHORT * 10).await;
    assert_eq!(gateway.saw().await, Seen::Opened);
    assert!(gateway.seen.try_recv().is_err(), "closed");
    reading.abort();
}

#[tokio::test]
async fn one_address_gets_so_many_connections() {
    let mut gateway = Gateway::start(Limits {
        max_connections_per_address: 2,
        ..calm()
    })
    .await;
    let first = gateway.tls().await;
    let _second = gateway.tls().await;
    assert_eq!(gateway.saw().await, Seen::Opened);
    assert_eq!(gateway.saw().await, Seen::Opened);
    let mut third = TcpStream::connect(gateway.address).await.unwrap();
    assert_eq!(
        gateway.saw().await,
        Seen::Refused(RefuseReason::TooManyFromAddress)
    );
    let read = timeout(MARGIN, third.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(read, Ok(0) | Err(_)), "{read:?}");
    drop(first);
    assert_eq!(gateway.saw().await, Seen::Closed(CloseReason::Peer));
    let _fourth = gateway.tls().await;
    assert_eq!(gateway.saw().await, Seen::Opened);
}

#[tokio::test]
async fn the_listener_takes_so_many_connections() {
    let mut gateway = Gateway::start(Limits {
        max_connections: 1,
        ..calm()
    })
    .await;
    let _first = gateway.tls().await;
    assert_eq!(gateway.saw().await, Seen::Opened);
    let _second = TcpStream::connect(gateway.address).await.unwrap();
    assert_eq!(gateway.saw().await, Seen::Refused(RefuseReason::TooMany));
}
