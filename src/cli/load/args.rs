//! What can be typed after `muster load`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration as StdDuration;

use clap::{Args, Subcommand};
use humantime::Duration;

use super::super::connect::ConnectArgs;
use crate::load::baseline::FloorOptions;
use crate::load::{Denied, Hold, Join, Loop, Revoke, Scenario, Storm, Verify};

/// Of `join` and `verify`: until connections, caches and the allocator are what
/// they stay.
const WARM_UP: StdDuration = StdDuration::from_secs(2);

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster load join                                    joins a second, handshake included
  muster load hold --agents 10000 --for 5m            10,000 sessions, memory of each
  muster load revoke --agents 10000 --report cut.html time from the revoke to each end
  muster load storm --agents 9000 --cut 'systemctl restart muster'
  muster load join --target 127.0.0.1:7443 --target 127.0.0.1:8443

A scenario makes its own keys by the admin API, which it finds as all commands
do (--data-dir, or --admin-url, --token-file and --ca), and removes them at its
end. Do not use a production gateway: it is pushed to its limits. Each result shows
what the harness itself used: where that is as much as the gateway's, the client
was measured.")]
pub(in super::super) struct LoadArgs {
    #[command(flatten)]
    pub connect: ConnectArgs,
    #[command(subcommand)]
    pub command: LoadCommand,
}

#[derive(Debug, Subcommand)]
pub(in super::super) enum LoadCommand {
    #[command(flatten)]
    Run(RunCommand),
    /// Run the baseline to compare with: a gateway's listener without its work
    #[command(after_help = "Examples:
  muster load floor --data-dir floor-data
  muster load join --data-dir floor-data

It speaks the same protocol with the same TLS and the same HTTP/2 settings,
checks no key and keeps nothing. Never put it where agents are.")]
    Floor(FloorArgs),
}

/// The scenarios.
#[derive(Debug, Subcommand)]
pub(in super::super) enum RunCommand {
    /// New connections, each with a TLS handshake and a join
    #[command(after_help = "Examples:
  muster load join --for 30s
  muster load join --rate 500 --for 1m    an open loop: 500 per second")]
    Join(JoinArgs),
    /// Calls on warm connections: what a verify costs
    #[command(after_help = "Examples:
  muster load verify --connections 32 --at-once 512
  muster load verify --rate 5000")]
    Verify(VerifyArgs),
    /// Live sessions, kept for a while
    #[command(after_help = "Examples:
  muster load hold --agents 10000 --for 5m
  muster load hold --agents 1000 --churn 20 --for 10m")]
    Hold(HoldArgs),
    /// Live sessions whose key is revoked: the time until each has ended
    #[command(after_help = "Examples:
  muster load revoke --agents 10000
  muster load revoke --agents 10000 --revoked 1   what one costs among many
  muster load revoke --agents 10000 --no-retries  the ends alone

An agent whose session has ended tries again within 20 ms, as a real one does,
and is refused. On the gateway's own host these tries take the time of the ends
that are still to come: --no-retries leaves them out.")]
    Revoke(RevokeArgs),
    /// All sessions lost at once: the time until all are back
    #[command(after_help = "Examples:
  muster load storm --agents 9000
  muster load storm --agents 9000 --cut 'systemctl restart muster'

Without --cut the agents lose their connections by themselves.")]
    Storm(StormArgs),
    /// A revoked fleet that retries forever, beside healthy agents
    #[command(after_help = "Examples:\n  muster load denied --revoked 5000 --agents 50")]
    Denied(DeniedArgs),
}

/// The fleet, for all scenarios.
#[derive(Debug, Args)]
#[command(next_help_heading = "The fleet")]
pub(in super::super) struct FleetArgs {
    /// A gateway's agent listener; repeat it for several [default: the data directory's]
    #[arg(long, value_name = "HOST:PORT")]
    pub target: Vec<String>,
    /// Its ops listener, for its CPU and memory; one for each --target, in the same order
    #[arg(long, value_name = "HOST:PORT")]
    pub ops: Vec<String>,
    /// The CA that the agents trust (PEM) [default: the CA of the admin API]
    #[arg(long, value_name = "FILE")]
    pub agent_ca: Option<PathBuf>,
    /// The same seed makes the same agents
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Time at the start that is not counted [default: 2s for join and verify, else 0s]
    #[arg(long, value_name = "TIME")]
    pub warm_up: Option<Duration>,
    /// Time between two health reports of an agent
    #[arg(long, default_value = "60s", value_name = "TIME")]
    pub health_every: Duration,
    /// Also write a self-contained page with plots
    #[arg(long, value_name = "FILE.html")]
    pub report: Option<PathBuf>,
    /// Allow targets beyond the loopback: you own them
    #[arg(long)]
    pub yes_i_own_these_hosts: bool,
}

#[derive(Debug, Args)]
pub(in super::super) struct JoinArgs {
    /// Different agents that join, in turn
    #[arg(long, default_value_t = 10_000)]
    agents: u64,
    /// Joins in flight at once
    #[arg(long, default_value_t = 64, conflicts_with = "rate")]
    at_once: u64,
    /// Joins per second, whatever the gateway answers
    #[arg(long)]
    rate: Option<f64>,
    /// For how long
    #[arg(long = "for", default_value = "15s", value_name = "TIME")]
    lasts: Duration,
    #[command(flatten)]
    fleet: FleetArgs,
}

#[derive(Debug, Args)]
pub(in super::super) struct VerifyArgs {
    /// Connections, each of an agent of its own
    #[arg(long, default_value_t = 32)]
    connections: u64,
    /// Calls on their way at once, on all connections together
    #[arg(long, default_value_t = 512, conflicts_with = "rate")]
    at_once: u64,
    /// Calls a second, however the gateway fares
    #[arg(long)]
    rate: Option<f64>,
    /// For how long
    #[arg(long = "for", default_value = "15s", value_name = "TIME")]
    lasts: Duration,
    #[command(flatten)]
    fleet: FleetArgs,
}

#[derive(Debug, Args)]
pub(in super::super) struct HoldArgs {
    /// Sessions
    #[arg(long, default_value_t = 1_000)]
    agents: u64,
    /// Agents that come in at the same time
    #[arg(long, default_value_t = 64)]
    at_once: u64,
    /// Sessions a second that lose their connection and come back
    #[arg(long, default_value_t = 0.0)]
    churn: f64,
    /// For how long, once all are in
    #[arg(long = "for", default_value = "30s", value_name = "TIME")]
    lasts: Duration,
    #[command(flatten)]
    fleet: FleetArgs,
}

#[derive(Debug, Args)]
pub(in super::super) struct RevokeArgs {
    /// Sessions
    #[arg(long, default_value_t = 1_000)]
    agents: u64,
    /// How many of them are under the key that is revoked [default: all]
    #[arg(long)]
    revoked: Option<u64>,
    /// Agents that come in at the same time
    #[arg(long, default_value_t = 64)]
    at_once: u64,
    /// How long the sessions live before it
    #[arg(long, default_value = "5s", value_name = "TIME")]
    settle: Duration,
    /// Agents whose session has ended don't try again
    #[arg(long)]
    no_retries: bool,
    #[command(flatten)]
    fleet: FleetArgs,
}

#[derive(Debug, Args)]
pub(in super::super) struct StormArgs {
    /// Sessions
    #[arg(long, default_value_t = 1_000)]
    agents: u64,
    /// Agents that join at the same time, before the storm
    #[arg(long, default_value_t = 64)]
    at_once: u64,
    /// A shell command that ends all sessions
    #[arg(long, value_name = "COMMAND")]
    cut: Option<String>,
    /// Longest wait for the last agent to be back
    #[arg(long, default_value = "2m", value_name = "TIME")]
    wait: Duration,
    #[command(flatten)]
    fleet: FleetArgs,
}

#[derive(Debug, Args)]
pub(in super::super) struct DeniedArgs {
    /// Good agents, whose calls are measured
    #[arg(long, default_value_t = 50)]
    agents: u64,
    /// Calls a second of all good agents together
    #[arg(long, default_value_t = 200.0)]
    rate: f64,
    /// Agents that are revoked
    #[arg(long, default_value_t = 1_000)]
    revoked: u64,
    /// Agents that come in at the same time
    #[arg(long, default_value_t = 64)]
    at_once: u64,
    /// From the revoke until the revoked ones' tries are counted
    #[arg(long, default_value = "40s", value_name = "TIME")]
    steady: Duration,
    /// How long the good ones are measured, alone and then beside the others
    #[arg(long = "for", default_value = "30s", value_name = "TIME")]
    lasts: Duration,
    #[command(flatten)]
    fleet: FleetArgs,
}

#[derive(Debug, Args)]
pub(in super::super) struct FloorArgs {
    /// Where agents connect
    #[arg(long, default_value = "127.0.0.1:7543", value_name = "ADDRESS")]
    agent_listen: SocketAddr,
    /// Where keys are made and "revoked"
    #[arg(long, default_value = "127.0.0.1:7544", value_name = "ADDRESS")]
    admin_listen: SocketAddr,
    /// Where its CPU and memory can be read
    #[arg(long, default_value = "127.0.0.1:7545", value_name = "ADDRESS")]
    ops_listen: SocketAddr,
    /// tonic's own HTTP/2 settings instead of the gateway's
    #[arg(long)]
    defaults: bool,
}

impl FloorArgs {
    pub fn options(&self, data_dir: &Path) -> FloorOptions {
        FloorOptions {
            data_dir: data_dir.to_owned(),
            agent: self.agent_listen,
            admin: self.admin_listen,
            ops: self.ops_listen,
            defaults: self.defaults,
        }
    }
}

impl FleetArgs {
    /// What was typed, else the scenario's own.
    pub fn warm_up(&self, own: StdDuration) -> StdDuration {
        self.warm_up.map_or(own, Into::into)
    }
}

impl RunCommand {
    /// What is to be done, how long what begins counts for nothing, and by
    /// which fleet.
    pub fn scenario(self) -> (Scenario, StdDuration, FleetArgs) {
        let (scenario, own, fleet) = match self {
            Self::Join(args) => {
                let join = Join {
                    agents: args.agents,
                    calls: Loop {
                        at_once: args.at_once,
                        rate: args.rate,
                        lasts: *args.lasts + args.fleet.warm_up(WARM_UP),
                    },
                };
                (Scenario::Join(join), WARM_UP, args.fleet)
            }
            Self::Verify(args) => {
                let verify = Verify {
                    connections: args.connections,
                    calls: Loop {
                        at_once: args.at_once,
                        rate: args.rate,
                        lasts: *args.lasts + args.fleet.warm_up(WARM_UP),
                    },
                };
                (Scenario::Verify(verify), WARM_UP, args.fleet)
            }
            Self::Hold(args) => {
                let hold = Hold {
                    agents: args.agents,
                    at_once: args.at_once,
                    churn: args.churn,
                    lasts: *args.lasts,
                };
                (Scenario::Hold(hold), StdDuration::ZERO, args.fleet)
            }
            Self::Revoke(args) => {
                let revoke = Revoke {
                    agents: args.agents,
                    revoked: args.revoked,
                    at_once: args.at_once,
                    settle: *args.settle,
                    retries: !args.no_retries,
                };
                (Scenario::Revoke(revoke), StdDuration::ZERO, args.fleet)
            }
            Self::Storm(args) => {
                let storm = Storm {
                    agents: args.agents,
                    at_once: args.at_once,
                    cut: args.cut,
                    wait: *args.wait,
                };
                (Scenario::Storm(storm), StdDuration::ZERO, args.fleet)
            }
            Self::Denied(args) => {
                let denied = Denied {
                    agents: args.agents,
                    rate: args.rate,
                    revoked: args.revoked,
                    at_once: args.at_once,
                    steady: *args.steady,
                    lasts: *args.lasts,
                };
                (Scenario::Denied(denied), StdDuration::ZERO, args.fleet)
            }
        };
        (scenario, fleet.warm_up(own), fleet)
    }
}
