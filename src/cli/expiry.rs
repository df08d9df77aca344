//! `--expires-in` and `--expires-at`, wherever something can expire.

use std::time::Duration;

use clap::Args;

use super::time::{now, parse_span};
use crate::keys::Timestamp;

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Expiry {
    /// Lifetime from now, for example 90d
    #[arg(long, value_name = "TIME", value_parser = parse_span, conflicts_with = "expires_at")]
    expires_in: Option<Duration>,
    /// Expiry as RFC 3339, for example 2027-01-31T00:00:00Z
    #[arg(long, value_name = "WHEN", value_parser = Timestamp::parse_rfc3339)]
    expires_at: Option<Timestamp>,
}

impl Expiry {
    /// For the gateway; `None`: neither was given.
    pub fn wire(&self) -> Option<prost_types::Timestamp> {
        let within = self.expires_in.map(|span| now().saturating_add(span));
        self.expires_at.or(within).map(Into::into)
    }
}
