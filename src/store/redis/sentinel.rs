//! Where the master is: at an address, or where Sentinel says.
//!
//! Owns: the question to the sentinels. Must not know:
//! what the master is asked.
//! Invariant: no sentinel's answer is kept. Each connect asks anew, and the
//! sentinels take turns, so that one with an old picture is not asked for ever.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2};
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue,
    IntoConnectionInfo, RedisError, TlsCertificates, Value, cmd,
};
use secrecy::ExposeSecret;

use super::error::{RedisOpenError, failed};
use super::options::RedisOptions;
use crate::net::certs::ca_pem;
use crate::store::error::StoreError;

/// Where to connect. Passwords in it are redacted by redis's `Debug`.
#[derive(Debug, Clone)]
pub(super) enum Place {
    At(Arc<Client>),
    Sentinels(Arc<Sentinels>),
}

/// The sentinels that watch a master of a name.
#[derive(Debug)]
pub(super) struct Sentinels {
    hosts: Vec<(String, Client)>,
    name: String,
    /// All of the master but its address.
    master: ConnectionInfo,
    next: AtomicUsize,
}

/// A server to connect to.
pub(super) struct Found {
    pub client: Client,
    /// By Sentinel: where it is and which one said so, for errors.
    pub named: Option<String>,
}

impl Place {
    pub fn new(options: &RedisOptions) -> Result<Self, RedisOpenError> {
        let url = &options.url;
        let first = url.addresses().first().map_or("", String::as_str);
        let info = info(url.of(first).expose_secret(), options)?;
        let Some(name) = url.master() else {
            let client = match (&options.ca, info.addr()) {
                (Some(ca), ConnectionAddr::TcpTls { .. }) => {
                    // redis would take one without any, and refuse every server; of
                    // a damaged one it would say what is in it.
                    let read = ca_pem(ca).map_err(|problem| {
                        let cure = problem.cure("give the CA's certificate");
                        RedisOpenError::Ca(format!("it {problem}; {cure}"))
                    })?;
                    let trust = TlsCertificates {
                        client_tls: None,
                        root_cert: Some(read),
                    };
                    let built = Client::build_with_tls(info, trust);
                    built.map_err(|_| RedisOpenError::Ca("a certificate can't be used".into()))?
                }
                _ => Client::open(info).map_err(wrong)?,
            };
            return Ok(Self::At(Arc::new(client)));
        };
        let client = |host: &String| -> Result<(String, Client), RedisOpenError> {
            let info = format!("redis://{host}").into_connection_info();
            let client = Client::open(settled(info.map_err(wrong)?)).map_err(wrong)?;
            Ok((host.clone(), client))
        };
        Ok(Self::Sentinels(Arc::new(Sentinels {
            hosts: url
                .addresses()
                .iter()
                .map(client)
                .collect::<Result<_, _>>()?,
            name: name.to_owned(),
            master: info,
            next: AtomicUsize::new(0),
        })))
    }

    /// Whether Sentinel decides which server the master is.
    pub fn is_watched(&self) -> bool {
        matches!(self, Self::Sentinels(_))
    }

    /// Where the master is now; `deadline` is for each sentinel.
    pub async fn locate(&self, deadline: Duration) -> Result<Found, StoreError> {
        match self {
            Self::At(client) => Ok(Found {
                client: Client::clone(client),
                named: None,
            }),
            Self::Sentinels(sentinels) => sentinels.ask(deadline).await,
        }
    }
}

/// The URL was checked before, so it is what stands in it in %XX that can't be read.
/// Not the error's own words: they may quote it.
fn wrong(_: RedisError) -> RedisOpenError {
    RedisOpenError::Url("its user or its password is not UTF-8 in %XX".into())
}

fn info(url: &str, options: &RedisOptions) -> Result<ConnectionInfo, RedisOpenError> {
    let mut info = settled(url.into_connection_info().map_err(wrong)?);
    if let Some(password) = &options.password {
        let settings = info.redis_settings().clone();
        info = info.set_redis_settings(settings.set_password(password.expose_secret()));
    }
    Ok(info)
}

fn settled(info: ConnectionInfo) -> ConnectionInfo {
    // A host that vanishes without a word is noticed by the deadline of the
    // next answer; these two are for connections that wait in silence.
    let keepalive = socket2::TcpKeepalive::new()
        .with_time(Duration::from_secs(10))
        .with_interval(Duration::from_secs(5));
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive)
        .set_user_timeout(Duration::from_secs(20));
    // It would need one more right, and only names redis-rs in CLIENT LIST.
    let settings = info.redis_settings().clone().set_skip_set_lib_name();
    info.set_redis_settings(settings).set_tcp_settings(tcp)
}

impl Sentinels {
    async fn ask(&self, deadline: Duration) -> Result<Found, StoreError> {
        let first = self.next.fetch_add(1, Ordering::Relaxed) % self.hosts.len().max(1);
        let (before, from_first) = self.hosts.split_at(first);
        let mut faults = Vec::new();
        for (host, client) in from_first.iter().chain(before) {
            let asked = tokio::time::timeout(deadline, self.ask_one(client)).await;
            let fault = match asked {
                Ok(Ok(Some((address, port)))) => {
                    let at = format!("{address}:{port}");
                    let master = self.master.clone();
                    let master = master.set_addr(ConnectionAddr::Tcp(address, port));
                    return Ok(Found {
                        client: Client::open(master).map_err(failed)?,
                        named: Some(format!("{at}, which the sentinel {host} names")),
                    });
                }
                Ok(Ok(None)) => format!("it knows no master named {:?}", self.name),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {deadline:?}"),
            };
            faults.push(format!("{host}: {fault}"));
        }
        Err(StoreError::Failed(format!(
            "no sentinel tells where Redis's master is: {}",
            faults.join("; ")
        )))
    }

    async fn ask_one(&self, client: &Client) -> Result<Option<(String, u16)>, RedisError> {
        // The caller's deadline is for all of it, and has its own words.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let opened = client.get_multiplexed_async_connection_with_config(&config);
        let mut ask = cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(&self.name);
        ask.query_async(&mut opened.await?).await
    }
}

/// Fails unless the server calls itself a master: a sentinel may not know yet
/// that it was demoted.
pub(super) async fn must_be_master(
    mut connection: MultiplexedConnection,
) -> Result<(), RedisError> {
    let role: Vec<Value> = cmd("ROLE").query_async(&mut connection).await?;
    let word = role.into_iter().next().map(String::from_redis_value);
    match word {
        Some(Ok(word)) if word == "master" => Ok(()),
        _ => Err((ErrorKind::Io, "it is no master (any more)").into()),
    }
}
