//! A connection to the master that mends itself.
//!
//! Owns: when a connection is opened and given up. Must not know: what is asked
//! over it.
//! Invariant: after a timeout, an I/O error or an answer that only a wrong or
//! unready server gives, the connection is not used again. redis's own
//! `ConnectionManager` keeps it, and can stay deaf for ever.

use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2};
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, IntoConnectionInfo, RedisError, ServerErrorKind,
};
use secrecy::ExposeSecret;
use tokio::sync::Mutex;

use super::open::{RedisOpenError, RedisOptions};
use crate::store::key_store::StoreError;

/// Where Redis is, and how long to wait for it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Passwords in it are redacted by its `Debug`.
    pub client: Client,
    /// For the TCP connection, TLS and the login.
    pub connect: Duration,
    /// For each answer.
    pub answer: Duration,
}

impl Target {
    pub fn new(options: &RedisOptions) -> Result<Self, RedisOpenError> {
        let url = |error: RedisError| RedisOpenError::Url(error.to_string());
        let info = options.url.expose_secret().into_connection_info();
        let mut info = info.map_err(url)?;
        if let Some(password) = &options.password {
            let settings = info.redis_settings().clone();
            info = info.set_redis_settings(settings.set_password(password.expose_secret()));
        }
        // A host that vanishes without a word is noticed by the deadline of the
        // next answer; these two are for connections that wait in silence.
        let keepalive = socket2::TcpKeepalive::new()
            .with_time(Duration::from_secs(10))
            .with_interval(Duration::from_secs(5));
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(keepalive)
            .set_user_timeout(Duration::from_secs(20));
        Ok(Self {
            client: Client::open(info.set_tcp_settings(tcp)).map_err(url)?,
            connect: options.connect_deadline,
            answer: options.answer_deadline,
        })
    }

    /// For questions that the server answers only after a while.
    pub fn patient(&self, wait: Duration) -> Self {
        Self {
            answer: self.answer + wait,
            ..self.clone()
        }
    }
}

/// One connection, opened when it is needed.
pub(super) struct Link {
    target: Target,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    open: Option<MultiplexedConnection>,
    /// Counts connections: who used an older one must not close this one.
    number: u64,
    /// A connection could not be had: until then those who ask are refused at
    /// once rather than queued up behind one deadline each.
    refused: Option<(Instant, StoreError)>,
}

/// May a question be asked again when its connection broke?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Repeat {
    /// Yes: asked twice is as asked once.
    Harmless,
    /// No: it may have been heard.
    Never,
}

impl Link {
    pub fn new(target: Target) -> Self {
        Self {
            target,
            state: Mutex::default(),
        }
    }

    /// Asks, and gives the connection up if that failed for its sake. A broken
    /// connection is noticed only when it is used: then a harmless question is
    /// asked once more on a new one.
    pub async fn ask<T, F>(
        &self,
        repeat: Repeat,
        ask: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let first = self.ask_once(&ask).await?;
        match first {
            Err(error) if error.is_connection_dropped() && repeat == Repeat::Harmless => {
                self.ask_once(&ask).await?.map_err(failed)
            }
            answer => answer.map_err(failed),
        }
    }

    async fn ask_once<T, F>(
        &self,
        ask: impl Fn(MultiplexedConnection) -> F,
    ) -> Result<Result<T, RedisError>, StoreError>
    where
        F: Future<Output = Result<T, RedisError>>,
    {
        let (connection, number) = self.connection().await?;
        let answer = ask(connection).await;
        if answer.as_ref().is_err_and(spoils) {
            let mut state = self.state.lock().await;
            if state.number == number {
                state.open = None;
            }
        }
        Ok(answer)
    }

    async fn connection(&self) -> Result<(MultiplexedConnection, u64), StoreError> {
        let mut state = self.state.lock().await;
        if let Some(open) = &state.open {
            return Ok((open.clone(), state.number));
        }
        let begun = Instant::now();
        if let Some((until, error)) = &state.refused
            && begun < *until
        {
            return Err(error.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.target.connect))
            .set_response_timeout(Some(self.target.answer));
        let opened = self
            .target
            .client
            .get_multiplexed_async_connection_with_config(&config);
        match opened.await {
            Ok(connection) => {
                state.number += 1;
                state.refused = None;
                state.open = Some(connection.clone());
                Ok((connection, state.number))
            }
            Err(error) => {
                let error = failed(error);
                // As long again as it took to fail.
                let until = Instant::now() + begun.elapsed();
                state.refused = Some((until, error.clone()));
                Err(error)
            }
        }
    }
}

/// Whether the connection is not to be used again: its next answer may belong
/// to another question, or another server is the master now.
fn spoils(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io | ErrorKind::Parse | ErrorKind::AuthenticationFailed => true,
        ErrorKind::Server(kind) => {
            matches!(
                kind,
                ServerErrorKind::ReadOnly
                    | ServerErrorKind::BusyLoading
                    | ServerErrorKind::MasterDown
            ) || error.code() == Some("NOREPLICAS")
        }
        _ => error.is_timeout() || error.is_connection_dropped(),
    }
}

pub(super) fn failed(error: RedisError) -> StoreError {
    StoreError::Failed(format!("Redis: {error}"))
}

/// The version that a server says it is, `7.0.15`.
pub(super) async fn server_version(
    mut connection: MultiplexedConnection,
) -> Result<String, RedisError> {
    let info: String = redis::cmd("INFO")
        .arg("server")
        .query_async(&mut connection)
        .await?;
    let version = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    Ok(version.unwrap_or("0").trim().to_owned())
}
