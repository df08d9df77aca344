//! `muster keys delete`.
//!
//! Invariant: each key is decided for itself, and its outcome is printed.

use proto::delete_outcome::Outcome;

use super::durability::DurabilityJson;
use super::list::resolve;
use crate::cli::connect::Client;
use crate::cli::error::CliError;
use crate::cli::outcomes::Outcomes;
use crate::cli::output::{Console, clean, title};
use crate::proto::admin::v1 as proto;

/// The most that one call deletes.
const BATCH: usize = 50;

pub(super) async fn run(
    client: &mut Client,
    given: &[String],
    console: &mut Console,
) -> Result<(), CliError> {
    let mut outcomes = Outcomes::default();
    let mut ids: Vec<String> = Vec::new();
    for one in given {
        match resolve(client, one).await {
            // The same key twice is one wish.
            Ok(id) if ids.contains(&id) => {}
            Ok(id) => ids.push(id),
            Err(error) => outcomes.unnamed(console, one, "invalid", error)?,
        }
    }
    for batch in ids.chunks(BATCH) {
        let request = proto::DeleteKeysRequest {
            object_ids: batch.to_vec(),
        };
        let answer = match client.keys.delete_keys(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                for id in batch {
                    outcomes.refused(console, id, "", client.refusal(&status))?;
                }
                continue;
            }
        };
        for done in answer.outcomes {
            let who = title(&done.object_id, &done.name);
            let failed = match done.outcome() {
                Outcome::Deleted => {
                    if !console.json_wanted() {
                        console.print(&format!("{who}: deleted\n"))?;
                    }
                    let durability = DurabilityJson::new(done.durable, done.replicas_acknowledged);
                    durability.warn(console);
                    outcomes.done(&done.object_id, &done.name, "deleted", durability);
                    continue;
                }
                Outcome::Failed | Outcome::Unspecified => "failed",
                Outcome::Invalid => "invalid",
            };
            console.note(&format!("error: {who}: {}", clean(&done.failure_reason)));
            outcomes.told(done.object_id, done.name, failed, done.failure_reason);
        }
    }
    outcomes.end(console)
}
