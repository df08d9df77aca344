//! `muster keys delete`.
//!
//! Invariant: each key is decided for itself, and what became of each is told.

use serde::Serialize;

use super::Failures;
use super::rows::{resolve, shown, title};
use crate::cli::connect::Client;
use crate::cli::error::CliError;
use crate::cli::output::{Console, clean};
use crate::proto::admin::v1 as proto;

/// What became of one key, for programs.
#[derive(Debug, Serialize)]
struct DeletedJson {
    #[serde(skip_serializing_if = "Option::is_none")]
    object_id: Option<String>,
    name: String,
    outcome: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure_reason: Option<String>,
}

/// The most that one call deletes.
const BATCH: usize = 50;

pub(super) async fn run(
    client: &mut Client,
    given: &[String],
    console: &mut Console,
) -> Result<(), CliError> {
    let mut failures = Failures::default();
    let mut rows = Vec::new();
    let mut ids: Vec<String> = Vec::new();
    for one in given {
        match resolve(client, one).await {
            // The same key twice is one wish.
            Ok(id) if ids.contains(&id) => {}
            Ok(id) => ids.push(id),
            Err(error) => {
                rows.push(DeletedJson {
                    object_id: None,
                    name: shown(one),
                    outcome: "invalid",
                    failure_reason: Some(error.to_string()),
                });
                failures.tell(console, one, error)?;
            }
        }
    }
    for batch in ids.chunks(BATCH) {
        let request = proto::DeleteKeysRequest {
            object_ids: batch.to_vec(),
        };
        let outcomes = match client.keys.delete_keys(request).await {
            Ok(answer) => answer.into_inner().outcomes,
            Err(status) => {
                for id in batch {
                    let error = client.refusal(&status);
                    rows.push(DeletedJson {
                        object_id: Some(id.clone()),
                        name: String::new(),
                        outcome: "failed",
                        failure_reason: Some(error.to_string()),
                    });
                    failures.tell(console, id, error)?;
                }
                continue;
            }
        };
        for done in outcomes {
            let row = deleted_row(&done);
            let who = title(&done.object_id, &done.name);
            if row.failure_reason.is_some() {
                failures.told();
                console.note(&format!("error: {who}: {}", clean(&done.failure_reason)));
            } else if !console.json_wanted() {
                console.print(&format!("{who}: deleted\n"))?;
            }
            rows.push(row);
        }
    }
    if console.json_wanted() {
        console.print_json(&rows)?;
    }
    failures.end()
}

fn deleted_row(done: &proto::DeleteOutcome) -> DeletedJson {
    use proto::delete_outcome::Outcome;
    let outcome = match done.outcome() {
        Outcome::Deleted => "deleted",
        Outcome::Failed | Outcome::Unspecified => "failed",
        Outcome::Invalid => "invalid",
    };
    DeletedJson {
        object_id: Some(done.object_id.clone()),
        name: done.name.clone(),
        outcome,
        failure_reason: (outcome != "deleted").then(|| done.failure_reason.clone()),
    }
}
