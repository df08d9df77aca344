//! Callers, their roles, and the record of their calls: the same
//! for gRPC and REST.
//!
//! Must not know: how a protocol carries a token or an error.

use std::future::Future;
use std::sync::Arc;

use http::Request;

use super::calls::Call;
use super::state::AdminState;
use crate::control::audit::{Action, Actor, Audit, Origin};
use crate::control::error::{AdminError, ErrorKind};
use crate::control::tokens;
use crate::control::tokens::TokenError;
use crate::keys::TokenId;
use crate::net::listener;
use crate::store::{AuditResult, Role, TokenRecord};

/// The caller of one call. Every handler can have it: no call is answered without.
#[derive(Clone)]
pub(super) struct Caller {
    /// Its token, as it was when the call came in.
    pub token: TokenRecord,
    /// The same in the audit trail.
    pub actor: Actor,
}

/// Why a good token may not make a call.
#[derive(Debug, Clone, thiserror::Error)]
pub(super) enum RoleError {
    /// The call needs a greater role.
    #[error(
        "this needs the role {needed}; your token {token} has the role {held}: ask an admin for another"
    )]
    TooSmall {
        needed: Role,
        token: TokenId,
        held: Role,
    },
    /// The call is not in the table of calls.
    #[error("the admin API has no such call; is your client newer than this gateway?")]
    NoSuchCall,
}

impl AdminError for RoleError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Forbidden
    }
}

impl Caller {
    /// The owner of the presented token; `from` and `interface` are for the audit
    /// trail.
    pub async fn authenticate(
        state: &AdminState,
        presented: Option<&[u8]>,
        from: String,
        interface: &'static str,
    ) -> Result<Self, TokenError> {
        let token = state.tokens.judge(presented).await?;
        let actor = Actor::new(Origin {
            actor: tokens::actor(&token),
            from,
            door: interface,
        });
        Ok(Self { token, actor })
    }

    /// Whether its role is enough for the call; `None`: there is no such call.
    pub fn check_role(&self, call: Option<&Call>) -> Result<(), RoleError> {
        match call.map(|call| call.role) {
            Some(needed) if self.token.role >= needed => Ok(()),
            Some(needed) => Err(RoleError::TooSmall {
                needed,
                token: self.token.id,
                held: self.token.role,
            }),
            None => Err(RoleError::NoSuchCall),
        }
    }
}

/// The address of a request's peer.
pub(super) fn peer<B>(request: &Request<B>) -> String {
    let call = request.extensions().get::<Arc<listener::Call>>();
    call.map_or_else(String::new, |call| call.peer().to_string())
}

/// How a whole call ended.
pub(super) struct End {
    pub result: AuditResult,
    pub reason: Option<String>,
}

/// Takes a call to its end and records it, if it changes something: also when its
/// caller hangs up meanwhile. `target` is what it is about, should it not come to
/// name that itself.
pub(super) async fn audited<T: Send + 'static>(
    audit: &Arc<Audit>,
    call: Option<&'static Call>,
    actor: Actor,
    target: Option<String>,
    answered: impl Future<Output = T> + Send + 'static,
    end: fn(&T) -> End,
) -> T {
    let Some(action) = call.and_then(|call| call.action) else {
        return answered.await;
    };
    let trail = Arc::clone(audit);
    let recorded = async move {
        let answer = answered.await;
        let actions = actions(action, &actor, target, end(&answer));
        trail.note(actor.origin(), actions).await;
        answer
    };
    audit.to_the_end(recorded).await
}

/// What a call did, thing by thing.
fn actions(name: &'static str, actor: &Actor, target: Option<String>, end: End) -> Vec<Action> {
    let parts = actor.take_targets();
    if parts.is_empty() && actor.is_noted() {
        return Vec::new();
    }
    if parts.is_empty() {
        return vec![Action {
            name,
            target,
            detail: String::new(),
            result: end.result,
            reason: end.reason,
        }];
    }
    let parts = parts.into_iter().map(|part| {
        let (result, reason) = part.end.unwrap_or((end.result, end.reason.clone()));
        Action {
            name,
            target: Some(part.target),
            detail: part.detail,
            result,
            reason,
        }
    });
    parts.collect()
}
