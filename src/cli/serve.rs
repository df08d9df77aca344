//! `muster serve`: configuration, logging, signals, and what is said at start.
//!
//! Must not know: what a gateway does between start and stop.

use std::io::{self, IsTerminal};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{ArgMatches, Args};
use serde::Serialize;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

use super::connect::DEFAULT_DATA_DIR;
use super::error::CliError;
use super::log;
use super::output::{Console, clean};
use crate::control::agent_config::quote::quoted;
use crate::net::address::AgentAddress;
use crate::server::config::{Config, ConfigError, LogFormat, Settings};
use crate::server::{Addresses, FirstToken, ReloadHandle, Server};

/// After a clean shutdown nothing should be left to do; what is left all the
/// same gets this time.
const HARD_END: Duration = Duration::from_secs(1);
/// For the last line of the log, which another thread writes.
const LAST_LINE: Duration = Duration::from_millis(50);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster serve
  muster serve --agent-listen 0.0.0.0:7443 --agent-address muster.example.com:7443
  muster serve --config /etc/muster.toml --log-format json

A setting has one name everywhere: --agent-listen, the environment variable
MUSTER_AGENT_LISTEN, agent-listen = \"…\" in the TOML file. Flags win over the
environment, and that over the file.")]
pub(super) struct ServeArgs {
    /// A TOML file with settings (or MUSTER_CONFIG)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(
    args: ServeArgs,
    matches: &ArgMatches,
    console: &mut Console,
) -> Result<(), CliError> {
    let config = Config::load(
        args.settings.clone(),
        matches,
        args.config.as_deref(),
        std::env::vars_os(),
    )?;
    // Its drop writes what waits.
    let (_guard, set_filter) = log::start(&config.log)?;
    let log = RunningLog {
        set_filter,
        config: config.clone(),
        reread: Box::new({
            let matches = matches.clone();
            move || {
                let (settings, file) = (args.settings.clone(), args.config.as_deref());
                Config::load(settings, &matches, file, std::env::vars_os())
            }
        }),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?;
    let served = runtime.block_on(serve(config, log, console));
    // Dropping it would wait for a blocked disk, and deaf to signals at that.
    runtime.shutdown_timeout(HARD_END);
    served
}

async fn serve(config: Config, log: RunningLog, console: &mut Console) -> Result<(), CliError> {
    // From the first: before it is caught it would end the process.
    let hangup = signal(SignalKind::hangup()).map_err(CliError::Runtime)?;
    outlive_file_limits()?;
    let format = config.log.format;
    let stop = stop_on_signals()?;
    let data_dir = config.data_dir.clone();
    let dialled = config.tls.agent_address.clone();
    let server = tokio::select! {
        server = Server::bind(config) => server?,
        // Stopped before it has begun to serve.
        () = stop.cancelled() => return Ok(()),
    };
    let (addresses, first_start) = (server.addresses(), server.first_start());
    let mut ready = Ready::new(addresses, dialled, first_start, &data_dir);
    if let FirstToken::OtherGateway(gateway) = server.first_token() {
        ready.admin_token_of = Some(gateway.clone().unwrap_or_default());
    }
    // A gateway serves its agents also when its output is not read.
    let _ = if console.json_wanted() {
        console.print_json(&ready)
    } else if format == LogFormat::Json && !io::stdout().is_terminal() {
        // Both may go to one collector, which reads JSON.
        Ok(())
    } else {
        console.print(&ready.in_words(&data_dir, &program()))
    };
    tokio::spawn(log.reload_on(hangup, server.reload_handle()));
    server.run(stop.cancelled_owned()).await?;
    Ok(())
}

/// A token that the first SIGTERM or SIGINT cancels; the second ends the
/// process at once.
fn stop_on_signals() -> Result<CancellationToken, CliError> {
    let mut terminate = signal(SignalKind::terminate()).map_err(CliError::Runtime)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CliError::Runtime)?;
    let stop = CancellationToken::new();
    let told = stop.clone();
    tokio::spawn(async move {
        let name = either(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = name, "stopping; a second signal ends at once");
        told.cancel();
        let name = either(&mut terminate, &mut interrupt).await;
        tracing::warn!(signal = name, "second signal: ending at once");
        // For that line.
        tokio::time::sleep(LAST_LINE).await;
        std::process::exit(1);
    });
    Ok(stop)
}

/// A file that may not grow (`ulimit -f`) is an error of its write; by default
/// the signal that comes with it would end the process.
fn outlive_file_limits() -> Result<(), CliError> {
    const SIGXFSZ: i32 = 25;
    if cfg!(target_os = "linux") {
        // Its handler stays when this is dropped.
        drop(signal(SignalKind::from_raw(SIGXFSZ)).map_err(CliError::Runtime)?);
    }
    Ok(())
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// The log of a gateway that runs, and how its filter is read again.
struct RunningLog {
    set_filter: log::SetFilter,
    config: Config,
    reread: Box<dyn Fn() -> Result<Config, ConfigError> + Send + Sync>,
}

impl RunningLog {
    /// At each SIGHUP: the filter from the configuration, and the gateway's files.
    async fn reload_on(mut self, mut hangup: Signal, gateway: ReloadHandle) {
        while hangup.recv().await.is_some() {
            tracing::info!(signal = "SIGHUP", "reading the files again");
            let reread = self.reread();
            gateway.config_failed(reread.is_err());
            if let Err(error) = reread {
                tracing::error!(error, "the configuration can't be used; the old one stays");
            }
            gateway.ask();
        }
    }

    fn reread(&mut self) -> Result<(), String> {
        let mut config = (self.reread)().map_err(|error| error.to_string())?;
        let filter = config.log.filter.clone();
        if filter != self.config.log.filter {
            let read = EnvFilter::try_new(&filter).map_err(|error| error.to_string())?;
            (self.set_filter)(read)?;
            tracing::info!(filter, "another log filter");
            self.config.log.filter = filter;
        }
        config.log.filter.clone_from(&self.config.log.filter);
        if config != self.config {
            tracing::warn!(
                "settings other than the log's filter have changed; they need a restart"
            );
        }
        Ok(())
    }
}

/// The program as it was called, so that what is printed can be typed.
fn program() -> String {
    std::env::args_os()
        .next()
        .and_then(|name| name.into_string().ok())
        .filter(|name| !name.is_empty())
        .map_or_else(|| "muster".to_owned(), |name| quoted(&name))
}

/// Where a browser on this host finds a listener.
fn reachable(bound: SocketAddr) -> SocketAddr {
    match bound.ip() {
        ip if !ip.is_unspecified() => bound,
        IpAddr::V4(_) => SocketAddr::from((Ipv4Addr::LOCALHOST, bound.port())),
        IpAddr::V6(_) => SocketAddr::from((Ipv6Addr::LOCALHOST, bound.port())),
    }
}

/// What is said once the listeners are bound.
#[derive(Debug, Serialize)]
struct Ready {
    agent: String,
    admin: String,
    console: String,
    ops: String,
    data_dir: PathBuf,
    first_start: bool,
    /// The gateway that made the admin token, where this one has none; empty
    /// when that token has ended and others are left.
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_token_of: Option<String>,
    /// Where agents dial.
    #[serde(skip)]
    dialled: AgentAddress,
}

impl Ready {
    fn new(
        addresses: Addresses,
        dialled: Option<AgentAddress>,
        first_start: bool,
        data_dir: &Path,
    ) -> Self {
        Self {
            agent: addresses.agent.to_string(),
            admin: format!("https://{}", addresses.admin),
            console: format!("https://{}", reachable(addresses.admin)),
            ops: format!("http://{}", addresses.ops),
            data_dir: std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_owned()),
            first_start,
            admin_token_of: None,
            dialled: dialled.unwrap_or_else(|| AgentAddress::from_bound(addresses.agent)),
        }
    }

    fn in_words(&self, data_dir: &Path, program: &str) -> String {
        let mut text = format!(
            "muster {} is ready\n  agents  {}\n  admin   {}\n  ops     {}\n  data    {}\n",
            env!("CARGO_PKG_VERSION"),
            self.agent,
            self.admin,
            self.ops,
            self.data_dir.display()
        );
        if self.dialled.is_loopback() {
            text += &format!(
                "\nAgents on other hosts can't reach {}. To let them in, start with\n  \
                 --agent-listen 0.0.0.0:{port} --agent-address HOST:{port}\nwhere HOST is the name \
                 or address by which they reach this host.\n",
                self.dialled,
                port = self.dialled.port,
            );
        }
        let command = if self.first_start {
            "keys create my-first-key"
        } else {
            "keys list"
        };
        let dir = if data_dir == Path::new(DEFAULT_DATA_DIR) {
            String::new()
        } else {
            format!(" --data-dir {}", quoted(&data_dir.to_string_lossy()))
        };
        if let Some(gateway) = &self.admin_token_of {
            let file = quoted(&data_dir.join("admin.token").to_string_lossy());
            let whose = if gateway.is_empty() {
                "Others hold the admin tokens: copy one".to_owned()
            } else {
                let gateway = clean(gateway);
                format!("The admin token is the one that the gateway {gateway} made: copy it")
            };
            text += &format!(
                "\n{whose} to {file} (mode 0600),\nor give it to the commands with --token-file \
                 FILE or MUSTER_TOKEN_FILE.\nIf it is lost, remove {file}.elsewhere and start \
                 again: then one is made here.\n"
            );
        }
        let with = match self.admin_token_of {
            None => {
                let file = self.data_dir.join("admin.token");
                format!("the token in {}", file.display())
            }
            Some(_) => "an admin token".to_owned(),
        };
        text += &format!(
            "\nThe console, in a browser:\n  {}/\nSign in with {with}.\n",
            self.console
        );
        text += &format!("\nNext, in another terminal:\n  {program} {command}{dir}\n");
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ready(agent: &str, dialled: Option<&str>, first_start: bool, dir: &str) -> String {
        let at = |text: &str| text.parse().unwrap();
        let addresses = Addresses {
            agent: at(agent),
            admin: at("127.0.0.1:7444"),
            ops: at("127.0.0.1:7445"),
        };
        let dir = Path::new(dir);
        let dialled = dialled.map(|address| address.parse().unwrap());
        Ready::new(addresses, dialled, first_start, dir).in_words(dir, "muster")
    }

    #[test]
    fn a_first_start_says_what_to_type_and_who_is_kept_out() {
        let said = ready("127.0.0.1:9000", None, true, "./muster-data");
        for part in [
            "  agents  127.0.0.1:9000\n",
            "  admin   https://127.0.0.1:7444\n",
            "Agents on other hosts can't reach 127.0.0.1:9000.",
            "--agent-listen 0.0.0.0:9000 --agent-address HOST:9000\n",
            "  https://127.0.0.1:7444/\nSign in with the token in ",
            "/muster-data/admin.token.\n",
            "\n  muster keys create my-first-key\n",
        ] {
            assert!(said.contains(part), "{part} in {said}");
        }
    }

    #[test]
    fn a_gateway_without_a_token_says_whose_it_is() {
        let at = "127.0.0.1:1".parse().unwrap();
        let addresses = Addresses {
            agent: at,
            admin: at,
            ops: at,
        };
        let mut ready = Ready::new(addresses, None, false, Path::new("gw2"));
        ready.admin_token_of = Some("gw\u{1b}1".into());
        let said = ready.in_words(Path::new("gw2"), "muster");
        assert!(said.contains("gateway gw\\u{1b}1 made"), "{said}");
        assert!(said.contains("copy it to gw2/admin.token"), "{said}");
    }

    #[test]
    fn later_starts_say_less() {
        let said = ready("0.0.0.0:7443", None, false, "/var/lib/my muster");
        assert!(!said.contains("other hosts"), "{said}");
        assert!(
            said.ends_with("  muster keys list --data-dir '/var/lib/my muster'\n"),
            "{said}"
        );
    }

    #[test]
    fn who_named_where_agents_dial_is_not_told_to() {
        // A load balancer or a tunnel on this host has the outer address.
        let outer = Some("muster.example.com:443");
        let said = ready("127.0.0.1:7443", outer, false, "./muster-data");
        assert!(!said.contains("other hosts"), "{said}");
        let here = ready("0.0.0.0:7443", Some("localhost:9"), false, "./muster-data");
        assert!(here.contains("can't reach localhost:9."), "{here}");
    }
}
