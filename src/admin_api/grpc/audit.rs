//! `muster.admin.v1.AuditService`.

use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{convert, page};
use crate::admin_api::error::{invalid, status};
use crate::control::audit::{Audit, AuditFilter};
use crate::proto::admin::v1 as pb;
use crate::proto::admin::v1::audit_service_server::AuditService;
use crate::store::{AuditRecord, AuditResult};

/// The audit service over the trail of the store.
pub(crate) struct Trail {
    audit: Arc<Audit>,
}

impl Trail {
    pub fn new(audit: Arc<Audit>) -> Self {
        Self { audit }
    }
}

#[tonic::async_trait]
impl AuditService for Trail {
    async fn list_audit(
        &self,
        request: Request<pb::ListAuditRequest>,
    ) -> Result<Response<pb::ListAuditResponse>, Status> {
        let request = request.into_inner();
        let size = page::size(request.page_size)?;
        let before = page::id(&request.page_token)?;
        let given = |text: String| (!text.is_empty()).then_some(text);
        let result = given(request.result).map(|word| {
            AuditResult::parse(&word)
                .ok_or_else(|| invalid("result", "give one of ok, refused, failed, unknown"))
        });
        let filter = AuditFilter {
            actor: given(request.actor),
            action: given(request.action),
            target: given(request.target),
            since: convert::from_wire("since", request.since)?,
            result: result.transpose()?,
        };
        let found = self.audit.page(&filter, before, size).await;
        let found = found.map_err(|error| status(&error))?;
        Ok(Response::new(pb::ListAuditResponse {
            records: found.records.into_iter().map(wire).collect(),
            next_page_token: found
                .next
                .map_or_else(String::new, |next| page::id_token(&next)),
        }))
    }
}

fn wire(record: AuditRecord) -> pb::AuditRecord {
    let AuditRecord { id, deed, .. } = record;
    pb::AuditRecord {
        id,
        at: Some(deed.at.into()),
        actor: deed.actor,
        action: deed.action,
        target: deed.target.unwrap_or_default(),
        detail: deed.detail,
        from: deed.from,
        door: deed.door,
        gateway_name: deed.gateway,
        result: deed.result.as_str().to_owned(),
        reason: deed.reason.unwrap_or_default(),
    }
}
