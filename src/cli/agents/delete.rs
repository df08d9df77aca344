//! `muster instances delete`.
//!
//! Invariant: each instance is decided for itself, and its outcome is printed.

use proto::delete_outcome::Outcome;

use crate::cli::arguments::refuse_secret;
use crate::cli::connect::{Client, ConnectArgs};
use crate::cli::error::CliError;
use crate::cli::outcomes::Outcomes;
use crate::cli::output::{Console, cell, clean};
use crate::proto::admin::v1 as proto;

/// The most that one call deletes.
const BATCH: usize = 50;

pub(super) async fn run(
    args: &ConnectArgs,
    mut ids: Vec<String>,
    console: &mut Console,
) -> Result<(), CliError> {
    for id in &ids {
        refuse_secret(id)?;
    }
    // The same instance twice is one wish.
    let mut seen = std::collections::HashSet::new();
    ids.retain(|id| seen.insert(id.clone()));
    let mut client = args.connect().await?;
    let mut outcomes = Outcomes::default();
    for batch in ids.chunks(BATCH) {
        delete(&mut client, batch, &mut outcomes, console).await?;
    }
    outcomes.end(console)
}

async fn delete(
    client: &mut Client,
    batch: &[String],
    outcomes: &mut Outcomes<()>,
    console: &mut Console,
) -> Result<(), CliError> {
    let request = proto::DeleteInstancesRequest {
        object_ids: batch.to_vec(),
    };
    let answer = match client.agents.delete_instances(request).await {
        Ok(answer) => answer.into_inner(),
        Err(status) => {
            for id in batch {
                outcomes.refused(console, id, "", client.refusal(&status))?;
            }
            return Ok(());
        }
    };
    for done in answer.outcomes {
        let who = match done.name.as_str() {
            "" => cell(&done.object_id),
            host => format!("{} on {}", cell(&done.object_id), cell(host)),
        };
        let failed = match done.outcome() {
            Outcome::Deleted => {
                if !console.json_wanted() {
                    console.print(&format!("{who}: deleted\n"))?;
                }
                outcomes.done(&done.object_id, &done.name, "deleted", ());
                continue;
            }
            Outcome::Failed | Outcome::Unspecified => "failed",
            Outcome::Invalid => "invalid",
        };
        console.note(&format!("error: {who}: {}", clean(&done.failure_reason)));
        outcomes.told(done.object_id, done.name, failed, done.failure_reason);
    }
    Ok(())
}
