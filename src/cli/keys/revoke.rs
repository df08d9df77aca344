//! `muster keys revoke`: the one command that can't be undone.
//!
//! Invariant: nothing is revoked before it was said what that cuts, and either
//! it was confirmed, or `--yes` was given.

use std::time::Duration;

use clap::Args;
use serde::Serialize;

use super::durability::DurabilityJson;
use super::gateways::{GatewayJson, closed, lines};
use super::list::{get, resolve};
use crate::cli::connect::Client;
use crate::cli::error::CliError;
use crate::cli::outcomes::Outcomes;
use crate::cli::output::{Console, clean, plural, title};
use crate::cli::time::{absolute, from_wire, now, rfc3339};
use crate::proto::admin::v1::{GatewayOutcome, Key, RevokeKeyRequest, RevokeKeyResponse};

#[derive(Debug, Args)]
pub(in crate::cli) struct RevokeArgs {
    /// Ids (key_…) or unambiguous names
    #[arg(value_name = "KEY", required = true)]
    pub(in crate::cli) keys: Vec<String>,
    /// Do not ask
    #[arg(short, long)]
    pub(in crate::cli) yes: bool,
    /// Longest wait for every gateway to close its sessions, at most 30s [default: as the gateway is configured, 5s]
    #[arg(long, value_name = "DURATION")]
    pub(in crate::cli) wait: Option<humantime::Duration>,
}

/// What a revoke did, for programs.
#[derive(Debug, Serialize)]
struct DoneJson {
    revoked_at: Option<String>,
    revision: u64,
    complete: bool,
    pending: bool,
    kept: bool,
    sessions_closed: u64,
    sessions_closing: u64,
    milliseconds: u64,
    gateways: Vec<GatewayJson>,
    #[serde(flatten)]
    durability: DurabilityJson,
}

pub(in crate::cli) async fn run(
    client: &mut Client,
    args: &RevokeArgs,
    console: &mut Console,
) -> Result<(), CliError> {
    let mut outcomes = Outcomes::default();
    let mut keys: Vec<Key> = Vec::new();
    for given in &args.keys {
        let found = match resolve(client, given).await {
            Ok(id) => get(client, id).await,
            Err(error) => Err(error),
        };
        match found {
            // The same key twice is one wish.
            Ok(key) if keys.iter().any(|known| known.object_id == key.object_id) => {}
            Ok(key) => keys.push(key),
            Err(error) => outcomes.unnamed(console, given, "failed", error)?,
        }
    }
    if !announce(&keys, args.yes, console) {
        return Err(CliError::Refused("nothing was revoked".to_owned()));
    }
    let (mut all_complete, mut some_pending) = (true, false);
    for key in keys {
        let request = RevokeKeyRequest {
            object_id: key.object_id.clone(),
            wait: args.wait.map(|wait| to_wire(*wait)),
        };
        let answer = match client.keys.revoke_key(request).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                let error = client.refusal(&status);
                outcomes.refused(console, &key.object_id, &key.name, error)?;
                continue;
            }
        };
        if !console.json_wanted() {
            console.print(&report(&key, &answer))?;
        }
        all_complete &= answer.complete;
        some_pending |= answer.pending;
        let done = DoneJson::of(&answer);
        // What is pending is not written, and the report has said so.
        if !answer.pending {
            done.durability.warn(console);
        }
        outcomes.done(&key.object_id, &key.name, "revoked", done);
    }
    // What failed outweighs what is not confirmed.
    outcomes.end(console)?;
    match (some_pending, all_complete) {
        (true, _) => Err(CliError::Pending),
        (false, false) => Err(CliError::NotComplete),
        (false, true) => Ok(()),
    }
}

/// More than fits is refused by the gateway, which names the limit.
fn to_wire(wait: Duration) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::try_from(wait.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(wait.subsec_nanos()).unwrap_or(0),
    }
}

/// Says what the revoke cuts and asks, if there is something to ask about;
/// false: better not.
fn announce(keys: &[Key], yes: bool, console: &mut Console) -> bool {
    let (revoked, to_cut): (Vec<&Key>, Vec<&Key>) =
        keys.iter().partition(|key| key.revoked_at.is_some());
    for key in revoked {
        console.note(&format!(
            "{} has been revoked already, at {}.",
            title(&key.object_id, &key.name),
            absolute(from_wire(key.revoked_at.as_ref()), now())
        ));
    }
    for key in &to_cut {
        console.note(&format!(
            "{}: a revoke cuts {}; {} registered with it.",
            title(&key.object_id, &key.name),
            plural(key.live_sessions, "live session"),
            match key.current_agents {
                1 => "1 agent is".to_owned(),
                several => format!("{several} agents are"),
            }
        ));
    }
    let question = match to_cut.len() {
        0 => return true,
        1 => "Revoke it?".to_owned(),
        several => format!("Revoke these {several} keys?"),
    };
    console.note("It can't be undone: its agents stay out until they get another key.");
    yes || console.confirm(&question)
}

fn sum(answer: &RevokeKeyResponse, count: impl Fn(&GatewayOutcome) -> u64) -> u64 {
    answer.gateways.iter().map(count).sum()
}

/// The slowest gateway's time.
fn milliseconds(answer: &RevokeKeyResponse) -> u64 {
    answer
        .gateways
        .iter()
        .map(|g| g.milliseconds)
        .max()
        .unwrap_or(0)
}

/// What the revoke did, in words.
fn report(key: &Key, answer: &RevokeKeyResponse) -> String {
    let mut text = format!(
        "{}: revoked; {} in {} ms\n",
        title(&key.object_id, &key.name),
        closed(sum(answer, |g| g.sessions_closed)),
        milliseconds(answer)
    );
    if answer.gateways.len() > 1 || !answer.complete {
        text += &lines(&answer.gateways);
    }
    if answer.pending {
        let restart = if answer.kept {
            "It is kept on this gateway's disk, so that a restart goes on with it."
        } else {
            "It can't be kept on this gateway's disk: if the gateway stops before the store \
             answers, the revoke is lost."
        };
        text += &format!(
            "  PENDING: the store did not take the revoke. This gateway has cut the key off and \
             goes on trying; other gateways still let it in.\n  {restart} See whether it is \
             written: muster keys show {}\n",
            clean(&key.object_id)
        );
    } else if !answer.complete {
        text += &format!(
            "  NOT COMPLETE: the key is revoked for good, but not every gateway has closed its \
             sessions yet.\n  See where it stands: muster keys show {}\n",
            clean(&key.object_id)
        );
    }
    text
}

impl DoneJson {
    fn of(answer: &RevokeKeyResponse) -> Self {
        let gateways = answer.gateways.iter().map(GatewayJson::from);
        let revoked = answer.key.as_ref().and_then(|key| key.revoked_at.as_ref());
        Self {
            revoked_at: rfc3339(revoked),
            revision: answer.revision,
            complete: answer.complete,
            pending: answer.pending,
            kept: answer.kept,
            sessions_closed: sum(answer, |g| g.sessions_closed),
            sessions_closing: sum(answer, |g| g.sessions_closing),
            milliseconds: milliseconds(answer),
            gateways: gateways.collect(),
            durability: DurabilityJson::new(answer.durable, answer.replicas_acknowledged),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &str, applied: bool, closed: u64, closing: u64) -> GatewayOutcome {
        GatewayOutcome {
            gateway_id: format!("gw{name}"),
            gateway_name: name.to_owned(),
            applied,
            sessions_closed: closed,
            sessions_closing: closing,
            milliseconds: closed,
            enrolled: true,
            ..GatewayOutcome::default()
        }
    }

    #[test]
    fn one_gateway_is_one_line_and_several_are_told_apart() {
        let key = Key {
            object_id: "key_1".to_owned(),
            name: "web".to_owned(),
            ..Key::default()
        };
        let mut answer = RevokeKeyResponse {
            complete: true,
            gateways: vec![outcome("a", true, 3, 0)],
            ..RevokeKeyResponse::default()
        };
        assert_eq!(
            report(&key, &answer),
            "key_1 \"web\": revoked; 3 sessions closed in 3 ms\n"
        );
        answer.gateways.push(outcome("b", true, 1, 0));
        assert_eq!(
            report(&key, &answer),
            "key_1 \"web\": revoked; 4 sessions closed in 3 ms\n  \
             gwa \"a\": 3 sessions closed in 3 ms\n  \
             gwb \"b\": 1 session closed in 1 ms\n"
        );
        answer.complete = false;
        answer.gateways = vec![outcome("a", true, 3, 2), outcome("b", false, 0, 0)];
        let told = report(&key, &answer);
        assert!(
            told.contains("gwa \"a\": 3 sessions closed in 3 ms; 2 still closing\n"),
            "{told}"
        );
        assert!(told.contains("gwb \"b\": has not applied it yet and may hold sessions\n"));
        assert!(told.contains("NOT COMPLETE"));
        answer.pending = true;
        assert!(report(&key, &answer).contains("the revoke is lost"));
        answer.kept = true;
        let told = report(&key, &answer);
        assert!(!told.contains("the revoke is lost"), "{told}");
        assert!(told.contains("PENDING") && told.contains("muster keys show key_1\n"));
        assert!(!told.contains("NOT COMPLETE"), "{told}");
    }
}
