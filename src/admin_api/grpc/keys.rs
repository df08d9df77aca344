//! `muster.admin.v1.KeyService`.

use std::sync::Arc;
use std::time::Duration;

use secrecy::ExposeSecret;
use tonic::{Request, Response, Status};

use super::authorize::caller;
use super::{convert, page};
use crate::admin_api::error::{invalid, status};
use crate::control::audit::Actor;
use crate::control::keys::{GatewayOutcome, KeyAdmin, KeyAdminError};
use crate::gateway::presence::RemoteSessions;
use crate::gateway::telemetry_senders::Senders;
use crate::keys::{KeyId, KeyRecord, KeyStatus, Revision, Timestamp};
use crate::proto::admin::v1 as pb;
use crate::proto::admin::v1::delete_outcome::Outcome;
use crate::proto::admin::v1::key_service_server::KeyService;
use crate::store::{KeyCursor, KeyEdit};

/// Telemetry senders in one answer; beyond that their number is enough.
const MAX_SENDERS: usize = 100;

/// The key service over the key admin, with the senders of telemetry.
pub(crate) struct Keys {
    admin: Arc<KeyAdmin>,
    senders: Arc<Senders>,
}

/// Which keys a list asks for.
struct Filter {
    status: Option<KeyStatus>,
    expires_before: Option<Timestamp>,
    name: String,
}

impl Filter {
    fn of(request: &pb::ListKeysRequest, now: Timestamp) -> Result<Self, Status> {
        let status = match pb::KeyStatus::try_from(request.status) {
            Ok(pb::KeyStatus::Unspecified) => None,
            Ok(pb::KeyStatus::Valid) => Some(KeyStatus::Valid),
            Ok(pb::KeyStatus::Expired) => Some(KeyStatus::Expired),
            Ok(pb::KeyStatus::Revoked) => Some(KeyStatus::Revoked),
            Err(_) => {
                return Err(invalid("status", "must be VALID, EXPIRED or REVOKED"));
            }
        };
        let within = request.expiring_within_seconds;
        Ok(Self {
            status,
            expires_before: (within > 0).then(|| now.saturating_add(Duration::from_secs(within))),
            name: request.name.clone(),
        })
    }

    fn takes(&self, record: &KeyRecord, now: Timestamp) -> bool {
        let status = record.status(now);
        let expiring = self
            .expires_before
            .is_none_or(|limit| status == KeyStatus::Valid && record.expires_at <= limit);
        self.status.is_none_or(|wanted| wanted == status)
            && expiring
            && (self.name.is_empty() || self.name == record.name)
    }
}

impl Keys {
    pub fn new(admin: Arc<KeyAdmin>, senders: Arc<Senders>) -> Self {
        Self { admin, senders }
    }

    fn show(&self, record: &KeyRecord, elsewhere: &RemoteSessions) -> pb::Key {
        let usage = self.admin.usage(record.id, elsewhere);
        convert::key(record, self.admin.now(), usage)
    }

    /// A key that was changed: it is shown also if nothing is known of
    /// the other gateways.
    async fn changed(&self, record: &KeyRecord) -> pb::Key {
        let elsewhere = self.admin.elsewhere().await.unwrap_or_default();
        self.show(record, &elsewhere)
    }

    async fn delete_one(&self, actor: &Actor, object_id: String) -> pb::DeleteOutcome {
        let mut outcome = pb::DeleteOutcome {
            object_id,
            ..Default::default()
        };
        let result = match outcome.object_id.parse::<KeyId>() {
            Ok(key) => {
                if let Ok(record) = self.admin.get(key).await {
                    outcome.name = record.name;
                }
                self.admin.delete(actor, key).await
            }
            Err(error) => {
                outcome.set_outcome(Outcome::Invalid);
                outcome.failure_reason = format!("object_id: {error}");
                actor.refused(&outcome.object_id, outcome.failure_reason.as_str());
                return outcome;
            }
        };
        match result {
            Ok(durability) => {
                outcome.set_outcome(Outcome::Deleted);
                outcome.durable = durability.is_durable();
                outcome.replicas_acknowledged = durability.acknowledged;
            }
            Err(error) => {
                outcome.set_outcome(Outcome::Failed);
                outcome.failure_reason = error.to_string();
            }
        }
        outcome
    }
}

fn refused(error: KeyAdminError) -> Status {
    status(&error)
}

fn gateway_outcome(outcome: GatewayOutcome) -> pb::GatewayOutcome {
    pb::GatewayOutcome {
        gateway_id: outcome.id.to_string(),
        gateway_name: outcome.name,
        applied: outcome.applied,
        sessions_closed: outcome.closed as u64,
        sessions_closing: outcome.closing as u64,
        milliseconds: convert::millis(outcome.elapsed),
        enrolled: outcome.enrolled,
        unreachable_since: outcome.unreachable_since.map(Into::into),
        ends_by: outcome.ends_by.map(Into::into),
    }
}

#[tonic::async_trait]
impl KeyService for Keys {
    async fn create_key(
        &self,
        request: Request<pb::CreateKeyRequest>,
    ) -> Result<Response<pb::CreateKeyResponse>, Status> {
        let actor = caller(&request)?.actor;
        let request = request.into_inner();
        let expires_at = convert::from_wire("expires_at", request.expires_at)?;
        let created = self
            .admin
            .create(&actor, request.name, expires_at)
            .await
            .map_err(refused)?;
        Ok(Response::new(pb::CreateKeyResponse {
            key: Some(self.changed(&created.record).await),
            secret: created.secret.expose_secret().to_owned(),
            durable: created.durability.is_durable(),
            replicas_acknowledged: created.durability.acknowledged,
        }))
    }

    async fn get_key(
        &self,
        request: Request<pb::GetKeyRequest>,
    ) -> Result<Response<pb::GetKeyResponse>, Status> {
        let key = convert::key_id("object_id", &request.get_ref().object_id)?;
        let record = self.admin.get(key).await.map_err(refused)?;
        let elsewhere = self.admin.elsewhere().await.map_err(refused)?;
        let revocation = self.admin.revocation(&record).await.map_err(refused)?;
        let senders = self.senders.of(key, self.admin.now());
        let shown = senders.iter().take(MAX_SENDERS);
        Ok(Response::new(pb::GetKeyResponse {
            key: Some(self.show(&record, &elsewhere)),
            telemetry_senders: shown.map(convert::sender).collect(),
            telemetry_senders_total: senders.len() as u64,
            revocation: revocation.map(|gateways| pb::Revocation {
                complete: gateways.iter().all(GatewayOutcome::is_done),
                gateways: gateways.into_iter().map(gateway_outcome).collect(),
            }),
        }))
    }

    async fn list_keys(
        &self,
        request: Request<pb::ListKeysRequest>,
    ) -> Result<Response<pb::ListKeysResponse>, Status> {
        let request = request.get_ref();
        let size = page::size(request.page_size)?;
        let mut last = page::place(&request.page_token)?;
        let mut after = last.map(|(created_at, id)| KeyCursor { created_at, id });
        let now = self.admin.now();
        let filter = Filter::of(request, now)?;
        let elsewhere = self.admin.elsewhere().await.map_err(refused)?;
        let mut response = pb::ListKeysResponse::default();
        if !request.name.is_empty() {
            // By the index: a name is looked up for most commands.
            let all = self.admin.all().await.map_err(refused)?;
            let unreadable = all.unreadable().map(KeyId::to_string);
            response.unreadable.extend(unreadable);
            let named = all.named(&request.name, after);
            for record in named.filter(|record| filter.takes(record, now)) {
                if response.keys.len() == size {
                    response.next_page_token = page::place_token(last);
                    break;
                }
                last = Some((record.created_at, record.id));
                response.keys.push(self.show(record, &elsewhere));
            }
            return Ok(Response::new(response));
        }
        loop {
            let found = self.admin.list(after, size).await.map_err(refused)?;
            response
                .unreadable
                .extend(found.unreadable.iter().map(KeyId::to_string));
            for record in found.records.iter().filter(|r| filter.takes(r, now)) {
                response.keys.push(self.show(record, &elsewhere));
                if response.keys.len() == size {
                    let here = (record.created_at, record.id);
                    response.next_page_token = page::place_token(Some(here));
                    return Ok(Response::new(response));
                }
            }
            after = found.next;
            if after.is_none() {
                return Ok(Response::new(response));
            }
        }
    }

    async fn edit_key(
        &self,
        request: Request<pb::EditKeyRequest>,
    ) -> Result<Response<pb::EditKeyResponse>, Status> {
        let actor = caller(&request)?.actor;
        let request = request.into_inner();
        let key = convert::key_id("object_id", &request.object_id)?;
        let edit = KeyEdit {
            name: request.name,
            expires_at: convert::from_wire("expires_at", request.expires_at)?,
            if_revision: request.if_revision.map(Revision),
        };
        let edited = self.admin.edit(&actor, key, edit).await;
        let (record, durability) = edited.map_err(refused)?;
        Ok(Response::new(pb::EditKeyResponse {
            key: Some(self.changed(&record).await),
            durable: durability.is_durable(),
            replicas_acknowledged: durability.acknowledged,
        }))
    }

    async fn revoke_key(
        &self,
        request: Request<pb::RevokeKeyRequest>,
    ) -> Result<Response<pb::RevokeKeyResponse>, Status> {
        let actor = caller(&request)?.actor;
        let key = convert::key_id("object_id", &request.get_ref().object_id)?;
        let wait = convert::wait("wait", request.get_ref().wait.as_ref())?;
        let outcome = self.admin.revoke(&actor, key, wait).await;
        let outcome = outcome.map_err(refused)?;
        Ok(Response::new(pb::RevokeKeyResponse {
            key: match &outcome.record {
                // The store is away: it is not to be asked about others, too.
                Some(record) if outcome.pending => Some(self.show(record, &Default::default())),
                Some(record) => Some(self.changed(record).await),
                None => None,
            },
            pending: outcome.pending,
            kept: outcome.kept,
            revision: outcome.revision.0,
            complete: outcome.complete,
            durable: outcome.durability.is_durable(),
            replicas_acknowledged: outcome.durability.acknowledged,
            gateways: outcome.gateways.into_iter().map(gateway_outcome).collect(),
        }))
    }

    async fn delete_key(
        &self,
        request: Request<pb::DeleteKeyRequest>,
    ) -> Result<Response<pb::DeleteKeyResponse>, Status> {
        let actor = caller(&request)?.actor;
        let key = convert::key_id("object_id", &request.get_ref().object_id)?;
        let deleted = self.admin.delete(&actor, key).await;
        let durability = deleted.map_err(refused)?;
        Ok(Response::new(pb::DeleteKeyResponse {
            durable: durability.is_durable(),
            replicas_acknowledged: durability.acknowledged,
        }))
    }

    async fn delete_keys(
        &self,
        request: Request<pb::DeleteKeysRequest>,
    ) -> Result<Response<pb::DeleteKeysResponse>, Status> {
        let actor = caller(&request)?.actor;
        let ids = convert::ids_to_delete(request.into_inner().object_ids)?;
        let mut outcomes = Vec::with_capacity(ids.len());
        for id in ids {
            outcomes.push(self.delete_one(&actor, id).await);
        }
        Ok(Response::new(pb::DeleteKeysResponse { outcomes }))
    }
}
