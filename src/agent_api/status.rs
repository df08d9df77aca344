//! The only place where a refusal or an end becomes a gRPC status.
//!
//! The codes are a contract with the agent: UNAUTHENTICATED (and
//! INVALID_ARGUMENT) make it give up, so they are used only for what is proven
//! to be its fault; every fault of muster is UNAVAILABLE, which it retries. The
//! message is printed in the agent's log: it is where the operator of that host
//! looks, so it names the fault and ends with what to do.

use std::collections::HashMap;

use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt};

use super::refusals::{Caller, Refusals};
use crate::gateway::registrar::Refusal;
use crate::gateway::rejections::Reason;
use crate::gateway::sessions::EndReason;
use crate::keys::{CredentialError, KeyId};

/// The domain of our ErrorInfo details.
const DOMAIN: &str = "muster";

/// The collector inside an agent reads the key at its start alone.
const RESTART_FOR_TELEMETRY: &str = "the agent is connected under another key; restart \
     nginx-agent to move its telemetry to the new key";

/// Why a call is refused, in all its kinds.
#[derive(Debug)]
pub(super) enum Refused {
    Credential(CredentialError),
    Key(Refusal),
    /// A key that does not open, for telemetry of an agent whose session is
    /// under another.
    StaleTelemetry {
        key: Option<KeyId>,
        fault: String,
    },
    /// The agent's id is missing or wrong; `0` says how.
    ResourceId(&'static str),
    Draining,
}

impl Refused {
    /// Which reason of the closed set this is.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Credential(CredentialError::Missing) => Reason::NoKey,
            Self::Credential(CredentialError::Malformed) => Reason::NotAKey,
            Self::Credential(CredentialError::Damaged) => Reason::DamagedKey,
            Self::Key(Refusal::Unknown { .. }) => Reason::UnknownKey,
            Self::Key(Refusal::Revoked { .. }) => Reason::KeyRevoked,
            Self::Key(Refusal::Expired { .. }) => Reason::KeyExpired,
            Self::Key(Refusal::TooManyAgents { .. }) => Reason::TooManyAgents,
            Self::Key(Refusal::Unavailable) => Reason::StoreUnavailable,
            Self::StaleTelemetry { .. } => Reason::StaleTelemetryKey,
            Self::ResourceId(_) => Reason::BadResourceId,
            Self::Draining => Reason::Draining,
        }
    }

    /// This refusal, for telemetry of an agent whose session is under another
    /// key.
    pub fn stale_telemetry(refusal: Refusal) -> Self {
        let (key, fault) = match refusal {
            Refusal::Unknown { key } => (key, "unknown data plane key".into()),
            Refusal::Revoked { key, at } => (
                Some(key),
                format!("data plane key {key} was revoked at {at}"),
            ),
            Refusal::Expired { key, at } => {
                (Some(key), format!("data plane key {key} expired at {at}"))
            }
            other @ (Refusal::TooManyAgents { .. } | Refusal::Unavailable) => {
                return Self::Key(other);
            }
        };
        Self::StaleTelemetry { key, fault }
    }

    /// The key to show to an operator: one that the store knows.
    fn key(&self, caller: &Caller) -> Option<KeyId> {
        match self {
            Self::Key(Refusal::Unknown { key }) | Self::StaleTelemetry { key, .. } => *key,
            Self::Key(
                Refusal::Revoked { key, .. }
                | Refusal::Expired { key, .. }
                | Refusal::TooManyAgents { key, .. },
            ) => Some(*key),
            Self::Key(Refusal::Unavailable)
            | Self::Credential(_)
            | Self::ResourceId(_)
            | Self::Draining => caller.key,
        }
    }

    fn code(&self) -> Code {
        match self {
            Self::Credential(
                CredentialError::Missing | CredentialError::Malformed | CredentialError::Damaged,
            )
            | Self::Key(
                Refusal::Unknown { .. } | Refusal::Revoked { .. } | Refusal::Expired { .. },
            )
            | Self::StaleTelemetry { .. } => Code::Unauthenticated,
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
            Self::Credential(CredentialError::Malformed) => {
                "not a data plane key (expected dpk_…); key_… is a key's id, not the key: put \
                 what `muster keys create` printed into the agent's key file"
                    .into()
            }
            Self::Credential(CredentialError::Damaged) => {
                "data plane key is damaged or cut off: copy the whole key again (70 characters \
                 from dpk_ on); if it is lost, make another with `muster keys create`"
                    .into()
            }
            Self::Key(Refusal::Unknown { .. }) => {
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
            Self::StaleTelemetry { fault, .. } => format!("{fault}: {RESTART_FOR_TELEMETRY}"),
            Self::ResourceId(fault) => (*fault).into(),
            Self::Draining => "the gateway is stopping: connect again".into(),
        }
    }

    /// The status, counted and noted.
    pub fn into_status(self, refusals: &Refusals, caller: &Caller) -> Status {
        let reason = self.reason();
        refusals.note(reason, self.key(caller), caller);
        with_reason(self.code(), self.message(), reason.as_str())
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
            let message = Refused::Key(Refusal::Unknown { key: None }).message();
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
        EndReason::StoreNotHeard => (
            Code::Unavailable,
            "the gateway has lost touch with its store; the key may be good: connect again".into(),
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

#[cfg(test)]
mod tests {
    use super::*;

    /// What docs/refusals.md quotes of the agent's log is what the agent is
    /// told.
    #[test]
    fn the_page_quotes_the_messages() {
        let page = include_str!("../../docs/refusals.md");
        let key = "key_0123456789ABCDEF".parse().unwrap();
        let at = crate::keys::Timestamp::from_millis(0);
        let ends = || {
            [
                Refusal::Unknown { key: None },
                Refusal::Revoked { key, at },
                Refusal::Expired { key, at },
            ]
        };
        let credentials = [
            CredentialError::Missing,
            CredentialError::Malformed,
            CredentialError::Damaged,
        ];
        let told = credentials
            .map(Refused::Credential)
            .into_iter()
            .chain(ends().map(Refused::Key))
            .chain(ends().map(Refused::stale_telemetry))
            .chain([
                Refused::Key(Refusal::TooManyAgents { key, limit: 9 }),
                Refused::Key(Refusal::Unavailable),
                Refused::Draining,
            ]);
        for refused in told {
            let (reason, message) = (refused.reason().as_str(), refused.message());
            let section = page.split("\n## ").find(|s| s.starts_with(reason)).unwrap();
            let log = section
                .lines()
                .find(|line| line.starts_with("- **The agent's log:**"))
                .unwrap();
            let quotes: Vec<&str> = log.split('`').skip(1).step_by(2).collect();
            let fits = |quote: &&str| quote.split('…').all(|part| message.contains(part));
            assert!(quotes.iter().any(fits), "{reason}: {message:?} in {log:?}");
        }
    }

    #[test]
    fn an_answer_does_not_tell_whether_the_key_is_known() {
        let known = "key_0123456789ABCDEF".parse().ok();
        let told = |refused: Refused| (refused.code(), refused.message(), refused.reason());
        for of in [Refused::Key, Refused::stale_telemetry] {
            assert_eq!(
                told(of(Refusal::Unknown { key: None })),
                told(of(Refusal::Unknown { key: known }))
            );
        }
    }
}
