//! The command line: `muster serve` and the commands that administer a gateway.
//!
//! Owns: what can be typed, exit codes, what is printed where. Must not know:
//! stores, keys' rules (the gateway decides; it is asked over the admin gRPC).
//! Invariants: results go to stdout and all else to stderr; with `-o json`
//! stdout holds one JSON value and nothing else; exit codes are 0, 1 for a
//! refusal or a failure, 2 for wrong usage, 3 for what `store check` finds, 4 and 5
//! for a revoke that is not confirmed everywhere or pending.

mod agent_config;
mod agents;
mod arguments;
mod audit;
mod ca;
mod connect;
mod error;
mod events;
mod expiry;
mod gateways;
mod keys;
mod load;
mod log;
mod man;
mod outcomes;
mod output;
mod pages;
mod rejections;
mod secret_file;
mod serve;
mod sessions;
mod settings;
mod store;
#[cfg(test)]
mod tests;
mod time;
mod tokens;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue};
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use error::CliError;

use output::{Console, Format};

const EXAMPLES: &str = "\
Examples:
  muster serve                              start a gateway here, data in ./muster-data
  muster keys create web                    create a key: its secret is shown only once
  muster agent-config                       what to paste into nginx-agent.conf
  muster sessions list                      who is connected
  muster rejections list                    why an agent does not get in
  muster keys revoke web                    cut off every agent of that key, for good
  muster tokens create ci --role viewer     read-only access for somebody else

The admin commands find the gateway through its data directory (--data-dir,
default ./muster-data), or through --admin-url, --token-file and --ca.
Exit codes: 0; 1 for a refusal or a failure; 2 for wrong usage; 3 when
`store check` found something.";

/// A registration gateway for NGINX agents.
#[derive(Debug, Parser)]
#[command(name = "muster", version, about, after_help = EXAMPLES)]
struct Cli {
    /// How results are printed: a table for people, JSON for programs
    #[arg(
        short,
        long,
        global = true,
        value_enum,
        default_value_t,
        value_name = "FORMAT"
    )]
    output: Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a gateway
    Serve(Box<serve::ServeArgs>),
    /// Create, list, edit, revoke and delete data plane keys
    Keys(keys::KeysArgs),
    /// List agents and show their details
    Agents(agents::AgentsArgs),
    /// List and delete the NGINX instances that agents report
    Instances(agents::InstancesArgs),
    /// Print past events, and follow new ones
    Events(events::EventsArgs),
    /// List and disconnect the live sessions of agents
    Sessions(sessions::SessionsArgs),
    /// Create, list and revoke admin tokens
    Tokens(tokens::TokensArgs),
    /// Show why agents were refused, and the remedy
    Rejections(rejections::RejectionsArgs),
    /// Show who changed what, when, and from where
    Audit(audit::AuditArgs),
    /// List the gateways that share the store
    Gateways(gateways::GatewaysArgs),
    /// Show and change the settings of all gateways of the store
    Settings(settings::SettingsArgs),
    /// Load-test gateways
    Load(Box<load::LoadArgs>),
    /// Check, copy or adopt a whole store, without a gateway
    Store(store::StoreArgs),
    /// Issue certificates for gateways that share the store
    Ca(ca::CaArgs),
    /// Print the block for nginx-agent.conf that connects an agent
    AgentConfig(agent_config::AgentConfigArgs),
    /// Print the completion script of a shell
    #[command(
        after_help = "Examples:\n  muster completions bash > /etc/bash_completion.d/muster\n  \
                            muster completions zsh > ~/.zfunc/_muster"
    )]
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Write the manual pages of all commands
    #[command(after_help = "Examples:\n  muster man /usr/local/share/man/man1\n  \
                            muster man . && man ./muster-keys-create.1")]
    Man {
        /// Where to; made when it is not there
        #[arg(value_name = "DIR")]
        dir: PathBuf,
    },
}

/// The whole program: reads the command line, does it, returns the exit code.
pub fn main() -> ExitCode {
    // Two providers in one process make rustls panic at the first handshake;
    // an error here means that one is in place already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = Cli::command()
        .try_get_matches()
        .and_then(|matches| Ok((Cli::from_arg_matches(&matches)?, matches)));
    let (cli, matches) = match read {
        Ok(read) => read,
        Err(error) if holds_a_key(&error.to_string()) => {
            // clap quotes the argument.
            let told = "an argument is the text of a private key; give the path of its file";
            let line = if log::is_json() {
                log::json_error(told)
            } else {
                format!("error: {told}")
            };
            let _ = writeln!(std::io::stderr(), "{line}");
            return ExitCode::from(2);
        }
        Err(error) => {
            // Help and version come this way too; clap picks stream and code.
            // There is nowhere to report that printing failed.
            if error.use_stderr() && log::is_json() {
                let line = log::json_error(error.to_string().trim());
                let _ = writeln!(std::io::stderr(), "{line}");
                return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
            }
            let _ = error.print();
            if let Some(variable) = variable_at_fault(&error) {
                let from = "The value comes from the environment variable";
                let _ = writeln!(std::io::stderr(), "{from} {variable}.");
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let mut console = Console::of_process(cli.output);
    match run(cli.command, &matches, &mut console) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(text) = error.told() {
                if log::is_json() {
                    console.note(&log::json_error(&text));
                } else {
                    console.note(&format!("error: {text}"));
                }
            }
            ExitCode::from(error.exit_code())
        }
    }
}

/// A file's text was given where its path belongs.
fn holds_a_key(text: &str) -> bool {
    text.contains("PRIVATE KEY-----")
}

/// clap names the flag, also when its value came from the environment.
fn variable_at_fault(error: &clap::Error) -> Option<String> {
    let Some(ContextValue::String(arg)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let flag = arg.split([' ', '=']).next()?;
    let typed = std::env::args_os().any(|word| {
        let word = word.to_string_lossy();
        word.strip_prefix(flag)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('='))
    });
    let name = flag.strip_prefix("--")?.replace('-', "_").to_uppercase();
    let variable = format!("MUSTER_{name}");
    (!typed && std::env::var_os(&variable).is_some()).then_some(variable)
}

fn run(command: Command, matches: &ArgMatches, console: &mut Console) -> Result<(), CliError> {
    match command {
        Command::Serve(args) => {
            let matches = matches.subcommand().map_or(matches, |(_, serve)| serve);
            serve::run(*args, matches, console)
        }
        Command::Store(args) => {
            let store = matches.subcommand().map_or(matches, |(_, store)| store);
            let matches = store.subcommand().map_or(store, |(_, command)| command);
            ask_gateway(store::run(args, matches, console))
        }
        Command::Load(args) => load::run(*args, console),
        Command::Ca(args) => ca::run(&args, console),
        Command::AgentConfig(args) => agent_config::run(&args, console),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "muster", &mut script);
            console.print(&String::from_utf8_lossy(&script))
        }
        Command::Man { dir } => man::run(Cli::command(), &dir, console),
        Command::Keys(args) => ask_gateway(keys::run(args, console)),
        Command::Agents(args) => ask_gateway(agents::run(args, console)),
        Command::Instances(args) => ask_gateway(agents::run_instances(args, console)),
        Command::Events(args) => ask_gateway(events::run(args, console)),
        Command::Sessions(args) => ask_gateway(sessions::run(args, console)),
        Command::Tokens(args) => ask_gateway(tokens::run(args, console)),
        Command::Rejections(args) => ask_gateway(rejections::run(args, console)),
        Command::Audit(args) => ask_gateway(audit::run(args, console)),
        Command::Gateways(args) => ask_gateway(gateways::run(args, console)),
        Command::Settings(args) => ask_gateway(settings::run(args, console)),
    }
}

/// One thread is enough to ask a question.
fn ask_gateway(question: impl Future<Output = Result<(), CliError>>) -> Result<(), CliError> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(CliError::Runtime)?
        .block_on(question)
}
