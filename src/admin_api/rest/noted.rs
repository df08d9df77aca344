//! A request that changes something, on its way into the audit trail.

use axum::extract::{MatchedPath, Request};
use axum::http::StatusCode;

use super::auth::Visit;
use super::error::ApiError;
use crate::admin_api::calls;
use crate::admin_api::calls::End;
use crate::control::audit::Audit;
use crate::store::DeedResult;

/// What is known before it is done.
pub(super) struct Noted {
    action: &'static str,
    target: Option<String>,
    visit: Visit,
}

impl Noted {
    /// `None`: it changes nothing.
    pub fn of(request: &mut Request) -> Option<Self> {
        let route = request.extensions().get::<MatchedPath>()?;
        let action = calls::of_rest(request.method(), route.as_str())?;
        let mut segments = route
            .as_str()
            .split('/')
            .zip(request.uri().path().split('/'));
        let target = segments.find(|(name, _)| *name == "{id}");
        let noted = Self {
            action,
            target: target.map(|(_, id)| id.to_owned()),
            visit: Visit::of(request),
        };
        request.extensions_mut().insert(noted.visit.clone());
        Some(noted)
    }

    /// Notes how it went, if somebody did it: who has no good token did nothing.
    pub async fn end(self, audit: &Audit, status: StatusCode, error: Option<&ApiError>) {
        let Some(actor) = self.visit.actor() else {
            return;
        };
        let end = End {
            result: match () {
                () if status.is_server_error() => DeedResult::Failed,
                () if status.is_client_error() => DeedResult::Refused,
                () => DeedResult::Ok,
            },
            reason: error.map(|error| error.message().to_owned()),
            target: self.target,
        };
        calls::note(audit, self.action, actor, end).await;
    }
}
