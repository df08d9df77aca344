//! What a run costs: the gateways' CPU and memory from their `/metrics`, and
//! the harness's own.
//!
//! Invariant: what could not be read is absent, not zero.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::Request;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::metrics::process;

const DEADLINE: Duration = Duration::from_secs(2);
/// A gateway's `/metrics` is a few kilobytes; a key's expiry takes 70 bytes.
const LONGEST: usize = 4 * 1024 * 1024;

/// What one process used during the run.
#[derive(Debug, Clone, Serialize)]
pub struct Cost {
    /// Whose: a gateway's ops address, or `harness`.
    pub of: String,
    pub cpu_seconds: f64,
    /// Resident bytes at the begin.
    pub resident_bytes_before: u64,
    /// Resident bytes at the end of what was measured, before it was undone.
    pub resident_bytes_after: u64,
    /// The most that was seen, once a second.
    pub resident_bytes_most: u64,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    cpu_seconds: f64,
    resident_bytes: u64,
}

/// Watches a process.
pub(super) struct Watched {
    of: Option<SocketAddr>,
    first: Option<Sample>,
    last: Option<Sample>,
    most: u64,
}

impl Watched {
    /// The gateway whose ops listener is there; `None`: this process.
    pub fn new(of: Option<SocketAddr>) -> Self {
        Self {
            of,
            first: None,
            last: None,
            most: 0,
        }
    }

    pub async fn look(&mut self) {
        let sample = match self.of {
            None => process::usage().map(|usage| Sample {
                cpu_seconds: usage.cpu.as_secs_f64(),
                resident_bytes: usage.resident_bytes,
            }),
            Some(ops) => timeout(DEADLINE, scrape(ops)).await.ok().flatten(),
        };
        if let Some(sample) = sample {
            // One that was started again counts from zero.
            let restarted = self
                .last
                .is_some_and(|last| sample.cpu_seconds < last.cpu_seconds);
            if restarted {
                self.first = Some(Sample {
                    cpu_seconds: 0.0,
                    ..sample
                });
            }
            self.first.get_or_insert(sample);
            self.most = self.most.max(sample.resident_bytes);
            self.last = Some(sample);
        }
    }

    /// CPU seconds used since the first look.
    pub fn cpu_seconds(&self) -> Option<f64> {
        Some(self.last?.cpu_seconds - self.first?.cpu_seconds)
    }

    /// Resident bytes at the last look.
    pub fn resident_bytes(&self) -> Option<u64> {
        Some(self.last?.resident_bytes)
    }

    /// All that was seen; `None`: nothing.
    pub fn cost(&self) -> Option<Cost> {
        let (first, last) = (self.first?, self.last?);
        Some(Cost {
            of: match self.of {
                None => "harness".to_owned(),
                Some(ops) => ops.to_string(),
            },
            cpu_seconds: last.cpu_seconds - first.cpu_seconds,
            resident_bytes_before: first.resident_bytes,
            resident_bytes_after: last.resident_bytes,
            resident_bytes_most: self.most,
        })
    }
}

/// The processes of a run.
pub(super) struct Watchers(tokio::sync::Mutex<Vec<Watched>>);

impl Watchers {
    /// The gateways of these ops listeners, and this process.
    pub fn of(ops: impl Iterator<Item = SocketAddr>) -> Arc<Self> {
        let all = ops.map(Some).chain([None]).map(Watched::new);
        Arc::new(Self(tokio::sync::Mutex::new(all.collect())))
    }

    /// Looks at all of them.
    pub async fn look(&self) {
        let mut all = self.0.lock().await;
        join_all(all.iter_mut().map(Watched::look)).await;
    }

    /// CPU seconds of all gateways since the first look; `None`: unknown.
    pub async fn gateways_cpu_seconds(&self) -> Option<f64> {
        let all = self.0.lock().await;
        let gateways: Vec<_> = all.iter().filter(|watched| watched.of.is_some()).collect();
        if gateways.is_empty() {
            return None;
        }
        gateways.iter().map(|watched| watched.cpu_seconds()).sum()
    }

    /// Resident bytes of all gateways at the last look; `None`: unknown.
    pub async fn gateways_resident_bytes(&self) -> Option<u64> {
        let all = self.0.lock().await;
        let gateways: Vec<_> = all.iter().filter(|watched| watched.of.is_some()).collect();
        if gateways.is_empty() {
            return None;
        }
        gateways
            .iter()
            .map(|watched| watched.resident_bytes())
            .sum()
    }

    /// All that was seen.
    pub async fn costs(&self) -> Vec<Cost> {
        self.0
            .lock()
            .await
            .iter()
            .filter_map(Watched::cost)
            .collect()
    }
}

async fn scrape(ops: SocketAddr) -> Option<Sample> {
    let socket = TcpStream::connect(ops).await.ok()?;
    let handshake = http1::handshake(TokioIo::new(socket));
    let (mut sender, connection) = handshake.await.ok()?;
    let request = Request::get("/metrics").header("host", "ops");
    let request = request.body(Empty::<Bytes>::new()).ok()?;
    let read = async {
        let response = sender.send_request(request).await.ok()?;
        let body = Limited::new(response.into_body(), LONGEST);
        let body = body.collect().await.ok()?.to_bytes();
        parse(std::str::from_utf8(&body).ok()?)
    };
    tokio::select! {
        sample = read => sample,
        _ = connection => None,
    }
}

fn parse(text: &str) -> Option<Sample> {
    let value = |name: &str| -> Option<f64> {
        let mut lines = text.lines();
        let value = lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        value.parse().ok()
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "bytes of memory, printed as a number of OpenMetrics"
    )]
    let resident_bytes = value("process_resident_memory_bytes")? as u64;
    Some(Sample {
        cpu_seconds: value("process_cpu_seconds_total")?,
        resident_bytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateways_own_metrics_are_understood() {
        let text = crate::metrics::registry::Metrics::new().encode().unwrap();
        let sample = parse(&text).unwrap();
        assert!(sample.resident_bytes > 100_000, "{sample:?}");
        assert!(parse("# EOF").is_none());
    }

    #[tokio::test]
    async fn a_gateway_that_does_not_answer_has_no_cost() {
        let mut watched = Watched::new(Some("127.0.0.1:1".parse().unwrap()));
        watched.look().await;
        assert!(watched.cost().is_none());
        let mut own = Watched::new(None);
        own.look().await;
        assert_eq!(own.cost().unwrap().of, "harness");
    }
}
