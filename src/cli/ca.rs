//! `muster ca …`: what the CA of the gateways issues.
//!
//! Must not know: how a certificate is made.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use super::connect::DEFAULT_DATA_DIR;
use super::error::{CliError, with_causes};
use super::output::{Console, clean};
use crate::control::agent_config::quote::quoted;
use crate::net::certs::{IssuedLeaf, LeafRequest, can_be_named, issue_leaf};

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster ca issue --name gw2.example.com --host muster.example.com --out gw2-cert")]
pub(super) struct CaArgs {
    #[command(subcommand)]
    command: CaCommand,
}

#[derive(Debug, Subcommand)]
enum CaCommand {
    /// Issue a certificate for another gateway, so that it needs no copy of the CA's key
    #[command(after_help = "Examples:
  muster ca issue --name gw2.example.com --host muster.example.com --out gw2-cert
  muster ca issue --name gw3 --ip 192.0.2.7 --out gw3-cert --ca-dir /srv/muster-ca
  muster serve --tls-cert gw2-cert/server.pem --tls-key gw2-cert/server.key …

Name every host and address by which agents dial that gateway, the balancer's, too.
Run this where the CA is, then bring the three files to the other gateway. The
certificate lives 90 days and is not renewed by itself: issue it again in time
(--force) and replace the files; that gateway takes them while it runs. Its log warns
from 30 days before the end.")]
    Issue(IssueArgs),
}

#[derive(Debug, Args)]
struct IssueArgs {
    /// The gateway's name; in the certificate when it is a host's name or an address
    #[arg(long, value_name = "NAME")]
    name: String,
    /// Where server.pem, server.key and ca.pem go
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// A DNS name by which agents dial it; may be given several times
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// An address by which agents dial it; may be given several times
    #[arg(long, value_name = "IP")]
    ip: Vec<std::net::IpAddr>,
    /// Replace files that are there
    #[arg(long)]
    force: bool,
    /// The data directory of the gateway whose CA issues [default: ./muster-data]
    #[arg(
        long,
        env = "MUSTER_DATA_DIR",
        hide_env_values = true,
        value_name = "DIR"
    )]
    data_dir: Option<PathBuf>,
    /// Where the CA is, if not in the data directory (or MUSTER_CA_DIR)
    #[arg(long, value_name = "DIR")]
    ca_dir: Option<PathBuf>,
}

/// What was issued, for programs.
#[derive(Debug, Serialize)]
struct IssuedJson<'a> {
    name: &'a str,
    cert: &'a Path,
    key: &'a Path,
    ca: &'a Path,
    names: &'a [String],
    not_after: String,
}

pub(super) fn run(args: &CaArgs, console: &mut Console) -> Result<(), CliError> {
    let CaCommand::Issue(args) = &args.command;
    issue(args, console)
}

fn issue(args: &IssueArgs, console: &mut Console) -> Result<(), CliError> {
    let mut hosts = args.host.clone();
    hosts.extend(args.ip.iter().map(ToString::to_string));
    if can_be_named(&args.name) {
        hosts.push(args.name.clone());
    } else if hosts.is_empty() {
        return Err(CliError::Usage(format!(
            "name: {:?} is no host's name; say with --host or --ip how agents dial this gateway",
            args.name
        )));
    }
    let ca_dir = args.ca_dir.clone().or_else(ca_dir_of_environment);
    let data_dir = || Path::new(DEFAULT_DATA_DIR).to_owned();
    let request = LeafRequest {
        ca_dir: ca_dir.unwrap_or_else(|| args.data_dir.clone().unwrap_or_else(data_dir)),
        out: args.out.clone(),
        hosts,
        replace: args.force,
    };
    let issued = issue_leaf(&request).map_err(|error| CliError::Refused(with_causes(&error)))?;
    if console.json_wanted() {
        return console.print_json(&IssuedJson {
            name: &args.name,
            cert: &issued.cert,
            key: &issued.key,
            ca: &issued.ca,
            names: &issued.names,
            not_after: issued.not_after.to_string(),
        });
    }
    console.print(&in_words(&args.name, &issued))
}

/// A setting of `serve`, too: there it is read with all the others.
fn ca_dir_of_environment() -> Option<PathBuf> {
    std::env::var_os("MUSTER_CA_DIR")
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn in_words(name: &str, issued: &IssuedLeaf) -> String {
    let word = |path: &Path| quoted(&path.to_string_lossy());
    format!(
        "Issued a certificate for {}, good until {}.\n  names  {}\n  files  {}\n         {} (secret)\n         \
         {}, for agents\n\nOn that gateway:\n  muster serve --tls-cert {} --tls-key {} …\n",
        clean(name),
        issued.not_after,
        issued.names.join(" "),
        issued.cert.display(),
        issued.key.display(),
        issued.ca.display(),
        word(&issued.cert),
        word(&issued.key),
    )
}
