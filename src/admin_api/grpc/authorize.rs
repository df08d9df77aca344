//! The middleware of every gRPC call: authenticates it, checks its role, records it.

use axum::body::Body;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::AUTHORIZATION;
use tonic::Status;

use crate::admin_api::auth::{Caller, End, audited, peer};
use crate::admin_api::calls;
use crate::admin_api::error::{result_of, status};
use crate::admin_api::state::AdminState;
use crate::store::AuditResult;

pub(in crate::admin_api) async fn authorize(
    State(state): State<AdminState>,
    mut request: Request,
    next: Next,
) -> Response {
    let presented = request.headers_mut().get_mut(AUTHORIZATION).map(|value| {
        value.set_sensitive(true);
        value.as_bytes().to_vec()
    });
    let from = peer(&request);
    let caller = Caller::authenticate(&state, presented.as_deref(), from, "grpc").await;
    let caller = match caller {
        Ok(caller) => caller,
        Err(error) => return status(&error).into_http(),
    };
    let call = calls::of_grpc(request.uri().path());
    let allowed = caller.check_role(call);
    let actor = caller.actor.clone();
    request.extensions_mut().insert(caller);
    let answered = async move {
        match allowed {
            Ok(()) => next.run(request).await,
            Err(error) => status(&error).into_http(),
        }
    };
    audited(&state.audit, call, actor, None, answered, end).await
}

/// How a call ended: a unary one that fails has its status in the headers.
fn end(response: &Response<Body>) -> End {
    let status = Status::from_header_map(response.headers());
    let (result, reason) = match status {
        None => (AuditResult::Ok, None),
        Some(status) => (result_of(status.code()), Some(status.message().to_owned())),
    };
    End { result, reason }
}

/// The caller of a call.
pub(super) fn caller<T>(request: &tonic::Request<T>) -> Result<Caller, Status> {
    let caller = request.extensions().get::<Caller>().cloned();
    caller.ok_or_else(|| Status::unauthenticated("the call was not authenticated"))
}
