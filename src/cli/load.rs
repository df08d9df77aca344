//! `muster load …`: a load test from the command line.
//!
//! Must not know: what a scenario does. Invariant: stdout has the result alone;
//! what goes on meanwhile is on stderr.

mod args;
mod show;

use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

use secrecy::SecretString;
use tokio::net::lookup_host;
use tokio_util::sync::CancellationToken;

use super::connect::{Client, ConnectArgs, Keys, read_ca_file};
use super::error::CliError;
use super::output::{Console, clean};
use crate::load::{self, Admin, LoadError, Plan, Target};
use crate::proto::admin::v1 as pb;
pub(super) use args::LoadArgs;
use args::{FleetArgs, LoadCommand};

pub(super) fn run(args: LoadArgs, console: &mut Console) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    runtime.block_on(load(args, console))
}

async fn load(args: LoadArgs, console: &mut Console) -> Result<(), CliError> {
    let LoadArgs { connect, command } = args;
    let (scenario, warm_up, fleet) = match command {
        LoadCommand::Floor(floor) => return floor_of(&connect, floor, console).await,
        LoadCommand::Run(run) => run.scenario(),
    };
    let client = connect.connect().await?;
    let plan = Plan {
        targets: targets(&connect, &fleet).await?,
        ca: read_agent_ca(&connect, &fleet)?,
        seed: fleet.seed,
        warm_up,
        health_every: *fleet.health_every,
        hosts_are_own: fleet.yes_i_own_these_hosts,
        scenario,
    };
    if let Some(path) = &fleet.report {
        // Found out now, not after an hour.
        fs::write(path, "").map_err(|error| cant_write(path, &error))?;
    }
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        if tokio::signal::ctrl_c().await.is_ok() {
            told.cancel();
        }
    });
    let watch = show::Watch::new();
    let admin = Arc::new(ByGrpc(client.keys.clone()));
    let ran = load::run(plan, admin, watch.watcher(), stop).await;
    watch.end();
    let report = ran.map_err(|error| said(&client, error))?;
    for left in &report.left_behind {
        console.note(&format!("could not be removed: {}", clean(left)));
    }
    if let Some(path) = &fleet.report {
        fs::write(path, report.html()).map_err(|error| cant_write(path, &error))?;
        console.note(&format!("The report with its plots: {}", path.display()));
    }
    if console.json_wanted() {
        return console.print_json(&report);
    }
    console.print(&show::tables(&report))
}

async fn floor_of(
    connect: &ConnectArgs,
    args: args::FloorArgs,
    console: &mut Console,
) -> Result<(), CliError> {
    let floor = crate::load::baseline::Floor::bind(args.options(connect.dir()))
        .await
        .map_err(|error| CliError::Refused(error.to_string()))?;
    console.print(&format!(
        "A floor, no gateway: it lets everybody in, keeps nothing.\n\
         Agents   {}\nAdmin    {}\nOps      http://{}/metrics\n",
        floor.addresses().agent,
        floor.addresses().admin,
        floor.addresses().ops,
    ))?;
    floor
        .run(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await
        .map_err(CliError::Runtime)
}

fn said(client: &Client, error: LoadError) -> CliError {
    match error {
        LoadError::NoTarget
        | LoadError::NotOwn(_)
        | LoadError::Plan(_)
        | LoadError::TooFewFiles { .. } => CliError::Usage(error.to_string()),
        LoadError::Admin(why) => CliError::Refused(format!(
            "the admin API of {}: {}",
            clean(client.url()),
            clean(&why)
        )),
        LoadError::Gateway(_) | LoadError::Interrupted | LoadError::Broken(_) => {
            CliError::Refused(error.to_string())
        }
    }
}

fn cant_write(path: &Path, error: &io::Error) -> CliError {
    CliError::Usage(format!("--report: can't write {}: {error}", path.display()))
}

fn read_agent_ca(connect: &ConnectArgs, fleet: &FleetArgs) -> Result<Vec<u8>, CliError> {
    let path = match &fleet.agent_ca {
        Some(path) => path.clone(),
        None => connect.target()?.ca,
    };
    read_ca_file(&path)
}

/// The gateways that were named, else the one of the data directory.
async fn targets(connect: &ConnectArgs, fleet: &FleetArgs) -> Result<Vec<Target>, CliError> {
    let there = |file: &str| {
        let text = fs::read_to_string(connect.dir().join(file)).ok()?;
        Some(text.trim().to_owned())
    };
    let (named, ops) = if fleet.target.is_empty() {
        let own = there("agent.address").into_iter().collect();
        let ops = match fleet.ops.is_empty() {
            true => there("ops.address").into_iter().collect(),
            false => fleet.ops.clone(),
        };
        (own, ops)
    } else {
        (fleet.target.clone(), fleet.ops.clone())
    };
    if fleet.ops.len() > named.len() {
        return Err(CliError::Usage(
            "--ops: give one for each --target, in the same order".into(),
        ));
    }
    let mut targets = Vec::new();
    let mut ops = ops.iter();
    for target in &named {
        let ops = match ops.next() {
            Some(ops) => Some(look_up("--ops", ops).await?),
            None => None,
        };
        let (host, _) = target.rsplit_once(':').unwrap_or((target, ""));
        targets.push(Target {
            address: look_up("--target", target).await?,
            host: host.trim_matches(['[', ']']).to_owned(),
            ops,
        });
    }
    Ok(targets)
}

async fn look_up(flag: &str, text: &str) -> Result<std::net::SocketAddr, CliError> {
    let wrong = |why: &str| {
        CliError::Usage(format!(
            "{flag} {:?}: {why}; expected HOST:PORT, for example 127.0.0.1:7443",
            clean(text)
        ))
    };
    let found = lookup_host(text).await;
    let mut found = found.map_err(|error| wrong(&error.to_string()))?;
    found.next().ok_or_else(|| wrong("it has no address"))
}

/// The admin gRPC.
struct ByGrpc(Keys);

#[async_trait::async_trait]
impl Admin for ByGrpc {
    async fn create_key(&self, name: &str) -> Result<(String, SecretString), String> {
        let request = pb::CreateKeyRequest {
            name: name.to_owned(),
            expires_at: None,
        };
        let answer = self.0.clone().create_key(request).await;
        let answer = answer.map_err(|status| status.message().to_owned())?;
        let answer = answer.into_inner();
        let id = answer.key.map(|key| key.object_id).unwrap_or_default();
        Ok((id, answer.secret.into()))
    }

    async fn revoke_key(&self, id: &str) -> Result<(), String> {
        let request = pb::RevokeKeyRequest {
            object_id: id.to_owned(),
            wait: None,
        };
        let answer = self.0.clone().revoke_key(request).await;
        answer
            .map(drop)
            .map_err(|status| status.message().to_owned())
    }

    async fn delete_key(&self, id: &str) -> Result<(), String> {
        let request = pb::DeleteKeyRequest {
            object_id: id.to_owned(),
        };
        let answer = self.0.clone().delete_key(request).await;
        answer
            .map(drop)
            .map_err(|status| status.message().to_owned())
    }
}
