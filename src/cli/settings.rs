//! `muster settings …`: what is set for all gateways of a store.

use clap::{Args, Subcommand, ValueEnum};
use serde::Serialize;

use super::connect::ConnectArgs;
use super::error::CliError;
use super::output::{Console, plural};
use super::time::parse_span;
use crate::proto::admin::v1::{
    GetInstanceCleanupRequest, InstanceCleanup, SetInstanceCleanupRequest,
};

const HOUR: u64 = 3_600;

#[derive(Debug, Args)]
#[command(after_help = "Examples:
  muster settings show
  muster settings set instance-cleanup 7d")]
pub(super) struct SettingsArgs {
    #[command(flatten)]
    connect: ConnectArgs,
    #[command(subcommand)]
    command: SettingsCommand,
}

#[derive(Debug, Subcommand)]
enum SettingsCommand {
    /// Show the settings of all gateways of the store
    #[command(after_help = "Examples:
  muster settings show
  muster settings show -o json")]
    Show,
    /// Change a setting for all gateways of the store
    #[command(after_help = "Examples:
  muster settings set instance-cleanup 48h
  muster settings set instance-cleanup 0    never

instance-cleanup: forget agents, with their instances, after this time without a
connection; whole hours, at most 720h. Once set, it overrides
--forget-unavailable-after on every gateway within a minute.")]
    Set {
        /// The setting
        #[arg(value_enum, value_name = "NAME")]
        name: Name,
        /// The new value
        #[arg(value_name = "VALUE", value_parser = parse_hours)]
        hours: u32,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Name {
    InstanceCleanup,
}

/// All settings for programs.
#[derive(Serialize)]
struct SettingsJson {
    instance_cleanup: CleanupJson,
}

/// The fields of NGINX One's setting, and where it comes from.
#[derive(Serialize)]
struct CleanupJson {
    age_out_duration: u32,
    from_store: bool,
}

fn parse_hours(text: &str) -> Result<u32, String> {
    if text == "0" {
        return Ok(0);
    }
    let seconds = parse_span(text)?.as_secs();
    match u32::try_from(seconds / HOUR) {
        // The gateway knows the bounds.
        Ok(hours) if seconds % HOUR == 0 => Ok(hours),
        _ => Err("expected whole hours, for example 48h or 7d; 0: never".to_owned()),
    }
}

pub(super) async fn run(args: SettingsArgs, console: &mut Console) -> Result<(), CliError> {
    let mut client = args.connect.connect().await?;
    let set = match args.command {
        SettingsCommand::Show => {
            let request = GetInstanceCleanupRequest {};
            let answer = client.settings.get_instance_cleanup(request).await;
            let answer = answer.map_err(|status| client.refusal(&status))?;
            answer.into_inner().instance_cleanup
        }
        SettingsCommand::Set {
            name: Name::InstanceCleanup,
            hours,
        } => {
            let request = SetInstanceCleanupRequest {
                age_out_duration: Some(hours),
            };
            let answer = client.settings.set_instance_cleanup(request).await;
            let answer = answer.map_err(|status| client.refusal(&status))?;
            answer.into_inner().instance_cleanup
        }
    };
    show(&set.unwrap_or_default(), console)
}

fn show(cleanup: &InstanceCleanup, console: &mut Console) -> Result<(), CliError> {
    if console.json_wanted() {
        return console.print_json(&SettingsJson {
            instance_cleanup: CleanupJson {
                age_out_duration: cleanup.age_out_duration,
                from_store: cleanup.from_store,
            },
        });
    }
    let after = match cleanup.age_out_duration {
        0 => "never".to_owned(),
        hours => format!("after {}", plural(hours.into(), "hour")),
    };
    let from = match cleanup.from_store {
        true => "set in the store, for all gateways",
        false => "this gateway's --forget-unavailable-after; nothing is set in the store",
    };
    console.print(&format!("instance-cleanup  {after}  ({from})\n"))
}
