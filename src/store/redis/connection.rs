//! A connection to the master that mends itself.
//!
//! Owns: when a connection is opened and given up. Must not know: what is asked
//! over it.
//! Invariant: after a timeout, an I/O error or an answer that only a wrong or
//! unready server gives, the connection is not used again. redis's own
//! `ConnectionManager` keeps it, and can stay deaf for ever.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::RwLock;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, RedisError, ServerErrorKind};
use tokio::sync::Mutex;

use super::error::{RedisOpenError, failed};
use super::options::RedisOptions;
use super::sentinel::{Place, must_be_master};
use crate::store::error::StoreError;

/// Where Redis is, and how long to wait for it.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// Shared by all that connect there, so that a new login reaches them all.
    pub place: Arc<RwLock<Place>>,
    /// For the TCP connection, TLS and the login.
    pub connect: Duration,
    pub answer: Duration,
}

impl Target {
    pub fn new(options: &RedisOptions) -> Result<Self, RedisOpenError> {
        Ok(Self {
            place: Arc::new(RwLock::new(Place::new(options)?)),
            connect: options.connect_deadline,
            answer: options.answer_deadline,
        })
    }

    /// A new connection to the master.
    async fn open(&self) -> Result<MultiplexedConnection, StoreError> {
        let place = self.place.read().clone();
        let found = place.locate(self.connect).await?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connect))
            .set_response_timeout(Some(self.answer));
        let client = &found.client;
        let opened = client.get_multiplexed_async_connection_with_config(&config);
        let Some(named) = found.named else {
            return opened.await.map_err(failed);
        };
        let failed = |error| StoreError::Failed(format!("Redis at {named}: {error}"));
        let connection = opened.await.map_err(failed)?;
        must_be_master(connection.clone()).await.map_err(failed)?;
        Ok(connection)
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
    /// Counts connections: a user of an older one must not close this one.
    number: u64,
    /// A connection could not be opened: until then callers are refused at
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

    /// Which connection the next question goes over, if it is still there then.
    pub async fn number(&self) -> u64 {
        self.state.lock().await.number
    }

    /// That connection, if it is still in use.
    pub async fn numbered(&self, number: u64) -> Option<MultiplexedConnection> {
        let state = self.state.lock().await;
        state.open.clone().filter(|_| state.number == number)
    }

    /// Nothing more is asked over that connection; what is under way goes on.
    pub async fn retire(&self, number: u64) {
        let mut state = self.state.lock().await;
        if state.number == number {
            state.open = None;
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
            self.retire(number).await;
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
        match self.target.open().await {
            Ok(connection) => {
                state.number += 1;
                state.refused = None;
                state.open = Some(connection.clone());
                Ok((connection, state.number))
            }
            Err(error) => {
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
        ErrorKind::Server(
            ServerErrorKind::ReadOnly | ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown,
        ) => true,
        // The master is cut off from its replicas, or was demoted.
        _ if error.code() == Some("NOREPLICAS") => true,
        _ => error.is_timeout() || error.is_connection_dropped(),
    }
}
