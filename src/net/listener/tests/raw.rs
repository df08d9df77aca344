//! An HTTP/2 client that knows nothing but frames, and does only what it is
//! told: it can break rules, and sees what really is on the wire.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub(super) const DATA: u8 = 0;
pub(super) const HEADERS: u8 = 1;
pub(super) const RST_STREAM: u8 = 3;
pub(super) const SETTINGS: u8 = 4;
pub(super) const PING: u8 = 6;
pub(super) const GOAWAY: u8 = 7;
pub(super) const WINDOW_UPDATE: u8 = 8;

const ACK: u8 = 1;
pub(super) const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

#[derive(Debug)]
pub(super) struct Wire {
    pub(super) kind: u8,
    pub(super) flags: u8,
    pub(super) stream: u32,
    pub(super) payload: Vec<u8>,
}

impl Wire {
    /// A big-endian number in the payload.
    pub(super) fn number(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

pub(super) struct RawClient {
    tls: TlsStream<TcpStream>,
    /// Whether PINGs are answered.
    pub(super) answers_pings: bool,
}

impl RawClient {
    /// Connects and sends preface and SETTINGS (id, value).
    pub(super) async fn connect(gateway: &Gateway, settings: &[(u16, u32)]) -> Self {
        let mut client = Self {
            tls: gateway.tls().await,
            answers_pings: true,
        };
        let mut payload = Vec::new();
        for (id, value) in settings {
            payload.extend(id.to_be_bytes());
            payload.extend(value.to_be_bytes());
        }
        client.tls.write_all(PREFACE).await.unwrap();
        client.send(SETTINGS, 0, 0, &payload).await;
        client
    }

    /// An error means that the server has closed the connection; reading will
    /// show what it said before.
    pub(super) async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> bool {
        let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
        frame.extend([kind, flags]);
        frame.extend(stream.to_be_bytes());
        frame.extend(payload);
        self.tls.write_all(&frame).await.is_ok()
    }

    /// Opens a stream: POST `path`, with more header bytes as given (HPACK).
    pub(super) async fn request(
        &mut self,
        stream: u32,
        path: &str,
        end: bool,
        more: &[u8],
    ) -> bool {
        // Indexed :method POST and :scheme https, then :path and :authority
        // as literals without indexing.
        let mut block = vec![0x83, 0x87, 0x04, u8::try_from(path.len()).unwrap()];
        block.extend(path.as_bytes());
        block.extend([0x01, 1, b'x']);
        block.extend(more);
        let flags = END_HEADERS | if end { END_STREAM } else { 0 };
        self.send(HEADERS, flags, stream, &block).await
    }

    /// The next frame; none when the connection is closed.
    pub(super) async fn next(&mut self) -> Option<Wire> {
        loop {
            let mut head = [0; 9];
            self.tls.read_exact(&mut head).await.ok()?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.tls.read_exact(&mut payload).await.ok()?;
            let wire = Wire {
                kind: head[3],
                flags: head[4],
                stream: u32::from_be_bytes([head[5], head[6], head[7], head[8]]),
                payload,
            };
            if wire.flags & ACK != 0 && matches!(wire.kind, PING | SETTINGS) {
                continue;
            }
            if wire.kind == SETTINGS {
                self.send(SETTINGS, ACK, 0, &[]).await;
            }
            if wire.kind == PING && self.answers_pings {
                self.send(PING, ACK, 0, &wire.payload).await;
            }
            return Some(wire);
        }
    }

    /// All frames until the connection is closed, within the margin.
    pub(super) async fn rest(&mut self) -> Vec<Wire> {
        let mut frames = Vec::new();
        timeout(MARGIN, async {
            while let Some(frame) = self.next().await {
                frames.push(frame);
            }
        })
        .await
        .unwrap();
        frames
    }
}

/// Fails if a stream was reset with anything but NO_ERROR.
pub(super) fn no_resets(frames: &[Wire]) {
    for frame in frames {
        assert!(
            frame.kind != RST_STREAM || frame.number(0) == 0,
            "{frame:?} among {frames:?}"
        );
    }
}
