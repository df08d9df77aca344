//! A gateway's settings for its Redis.

use std::time::Duration;

use super::url::RedisUrl;
use crate::keys::Id;

/// Where the store is, and how long to wait for it.
#[derive(Debug, Clone)]
pub struct RedisOptions {
    /// Its URL.
    pub url: RedisUrl,
    /// Where the URL has none.
    pub password: Option<secrecy::SecretString>,
    /// The CAs to trust over TLS, PEM; `None`: those of the system.
    pub ca: Option<Vec<u8>>,
    /// What the names of its keys begin with, in braces.
    pub prefix: String,
    /// For the TCP connection and the login.
    pub connect_deadline: Duration,
    /// For each answer.
    pub answer_deadline: Duration,
    /// Replicas that must have a change before it is called durable; `None`: one
    /// where there are any, and with Sentinel.
    pub replicas: Option<u32>,
    /// How long they are waited for.
    pub replicas_deadline: Duration,
    /// The store that this gateway knows; `None` at its first start.
    pub known: Option<Id>,
}
