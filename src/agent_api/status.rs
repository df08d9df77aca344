//! The only place where a refusal or an end becomes a gRPC status.
//!
//! The codes are a contract with the agent: UNAUTHENTICATED (and
//! INVALID_ARGUMENT) make it give up, so they are used only for what is proven
//! to be its fault; every fault of ours is UNAVAILABLE, which it retries. The
//! message is printed in the agent's log: it is where the operator of that host
//! looks, so it names the fault and ends with what to do.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use crate::keys::CredentialError;
use crate::registrar::Refusal;
use crate::sessions::EndReason;
use crate::telemetry::{Metrics, Reason};

/// The domain of our ErrorInfo details.
const DOMAIN: &str = "muster";

/// Why a call is refused, in all its kinds.
#[derive(Debug)]
pub(super) enum Refused {
    Credential(CredentialError),
    Key(Refusal),
    /// The agent's id is missing or wrong; `0` says how.
    ResourceId(&'static str),
    Draining,
}

impl Refused {
    /// The word for it, as metrics and details carry it.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Credential(CredentialError::Missing) => "NO_KEY",
            Self::Credential(CredentialError::Misshapen) => "NOT_A_KEY",
            Self::Credential(CredentialError::Damaged) => "DAMAGED_KEY",
            Self::Key(Refusal::Unknown) => "UNKNOWN_KEY",
            Self::Key(Refusal::Revoked { .. }) => "KEY_REVOKED",
            Self::Key(Refusal::Expired { .. }) => "KEY_EXPIRED",
            Self::Key(Refusal::TooManyAgents { .. }) => "TOO_MANY_AGENTS",
            Self::Key(Refusal::Unavailable) => "STORE_UNAVAILABLE",
            Self::ResourceId(_) => "BAD_RESOURCE_ID",
            Self::Draining => "DRAINING",
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Credential(
                CredentialError::Missing | CredentialError::Misshapen | CredentialError::Damaged,
            )
            | Self::Key(Refusal::Unknown | Refusal::Revoked { .. } | Refusal::Expired { .. }) => {
                Code::Unauthenticated
            }
            Self::Key(Refusal::TooManyAgents { .. }) => Code::ResourceExhausted,
            Self::Key(Refusal::Unavailable) | Self::Draining => Code::Unavailable,
            Self::ResourceId(_) => Code::InvalidArgument,
        }
    }

    fn message(&self) -> String {
        match self {
            Self::Credential(CredentialError::Missing) => {
                "no data plane key: set command.auth.tokenpath or token in nginx-agent.conf, \
                 then restart nginx-agent"
                    .into()
            }
            Self::Credential(CredentialError::Misshapen) => {
                "not a data plane key (expected dpk_…); key_… is a key's id, not the key: put \
                 what `muster keys create` printed into the agent's key file"
                    .into()
            }
            Self::Credential(CredentialError::Damaged) => {
                "data plane key is damaged or cut off: copy the whole key again (70 characters \
                 from dpk_ on); if it is lost, make another with `muster keys create`"
                    .into()
            }
            Self::Key(Refusal::Unknown) => {
                "unknown data plane key: there is no such key here, or this is not its secret; \
                 make one with `muster keys create` and put it into the agent's key file"
                    .into()
            }
            Self::Key(Refusal::Revoked { key, at }) => format!(
                "data plane key {key} was revoked at {at}, for good: make another with `muster \
                 keys create` and put it into the agent's key file"
            ),
            Self::Key(Refusal::Expired { key, at }) => format!(
                "data plane key {key} expired at {at}: make another with `muster keys create` \
                 and put it into the agent's key file"
            ),
            Self::Key(Refusal::TooManyAgents { key, limit }) => format!(
                "data plane key {key} has {limit} agents and may have no more: use another key, \
                 or raise the gateway's max-agents-per-key"
            ),
            Self::Key(Refusal::Unavailable) => {
                "the gateway can't verify keys now; the key may be good: try again".into()
            }
            Self::ResourceId(fault) => (*fault).into(),
            Self::Draining => "the gateway is stopping: connect again".into(),
        }
    }

    /// The status, counted.
    pub fn into_status(self, metrics: &Metrics) -> Status {
        let reason = Reason {
            reason: self.reason(),
        };
        metrics.refusals.get_or_create(&reason).inc();
        with_reason(self.code(), self.message(), reason.reason)
    }
}

/// What a session's stream ends with.
pub(super) fn ended(session: EndReason, key: crate::keys::KeyId) -> Status {
    let (code, message) = match session {
        EndReason::KeyRevoked { at } => {
            let message = Refused::Key(Refusal::Revoked { key, at }).message();
            (Code::Unauthenticated, message)
        }
        EndReason::KeyExpired { at } => {
            let message = Refused::Key(Refusal::Expired { key, at }).message();
            (Code::Unauthenticated, message)
        }
        EndReason::KeyDeleted => {
            let message = Refused::Key(Refusal::Unknown).message();
            (Code::Unauthenticated, message)
        }
        EndReason::Superseded => (
            Code::Aborted,
            "the same agent opened another session under the same key".into(),
        ),
        EndReason::Disconnected => (
            Code::Unavailable,
            "an operator disconnected this session: connect again".into(),
        ),
        EndReason::Draining => (Code::Unavailable, Refused::Draining.message()),
        EndReason::PeerLeft => (Code::Cancelled, "the agent left".into()),
    };
    with_reason(code, message, session.as_str())
}

fn with_reason(code: Code, message: String, reason: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, DOMAIN, HashMap::new());
    Status::with_error_details(code, message, details)
}
