//! `muster store adopt`.
//!
//! Invariant: nothing is adopted before it was said what that means, and
//! it was confirmed, or `--yes` was given.

use serde::Serialize;

use super::offline::place;
use crate::cli::error::CliError;
use crate::cli::output::{Console, plural};
use crate::server::config::Config;
use crate::server::maintenance::{
    Adopted, Adoption, AdoptionCheck, AdoptionState, TokenFate, look,
};

/// What was done, for programs.
#[derive(Debug, Serialize)]
struct AdoptedJson {
    adopted: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    admin_token: Option<&'static str>,
}

pub(super) async fn run(config: &Config, yes: bool, console: &mut Console) -> Result<(), CliError> {
    let at = place(config);
    let adoption = match look(config).await? {
        AdoptionCheck::Possible(adoption) => adoption,
        nothing => return nothing_to_adopt(&nothing, &at, config, console),
    };
    console.check_sure_of(
        yes,
        "there is no terminal to ask on; if this store is to take the place of the lost one, say \
         --yes. Nothing was changed",
    )?;
    console.note(&announcement(&adoption, &at, config));
    if !yes && !console.confirm("Adopt it?") {
        return Err(CliError::Refused("nothing was adopted".to_owned()));
    }
    let (lost, known) = (adoption.lost, adoption.found == AdoptionState::Known);
    let done = adoption.adopt().await?;
    if console.json_wanted() {
        return console.print_json(&AdoptedJson {
            adopted: !known,
            lost: Some(lost.to_string()),
            store: Some(done.store.to_string()),
            admin_token: Some(match done.token {
                TokenFate::NotNeeded => "not_needed",
                TokenFate::PutBack(_) => "put_back",
                TokenFate::NoneHere => "none",
                TokenFate::Ended(_) => "ended",
            }),
        });
    }
    if known {
        return console.print(&of_token(&done));
    }
    console.print(&format!(
        "The store {} answers for {lost} from now on: gateways that wait go on by themselves.\n",
        done.store
    ))?;
    console.print(&of_token(&done))
}

fn nothing_to_adopt(
    look: &AdoptionCheck,
    at: &str,
    config: &Config,
    console: &mut Console,
) -> Result<(), CliError> {
    let dir = config.data_dir.display();
    let why = match look {
        AdoptionCheck::Embedded => format!(
            "the embedded store belongs to its data directory {dir}; for a gateway on Redis give \
             its --store"
        ),
        AdoptionCheck::KnowsNone => format!(
            "the gateway of {dir} has not been on a shared store yet (no store.id), and takes \
             the one that it finds"
        ),
        AdoptionCheck::Known(id) => {
            format!("{at} answers as the store {id} that its gateway knows")
        }
        AdoptionCheck::Possible(_) => String::new(),
    };
    if console.json_wanted() {
        console.note(&format!("Nothing to adopt: {why}."));
        return console.print_json(&AdoptedJson {
            adopted: false,
            lost: None,
            store: None,
            admin_token: None,
        });
    }
    console.print(&format!("Nothing to adopt: {why}.\n"))
}

fn announcement(adoption: &Adoption, at: &str, config: &Config) -> String {
    let lost = adoption.lost;
    if adoption.found == AdoptionState::Known {
        return format!(
            "{at} answers as the store {lost} that its gateway knows, but has no valid admin \
             token. The one in {} is put into it, if it has not ended there.",
            config.data_dir.join("admin.token").display()
        );
    }
    let found = match adoption.found {
        AdoptionState::Other { id, keys, gateways } => format!(
            "there is the store {id}, with {} and {} enrolled",
            plural(keys, "key"),
            plural(gateways, "gateway")
        ),
        AdoptionState::Empty | AdoptionState::Known => {
            "there is none: Redis was emptied, or is another one; one is made".to_owned()
        }
    };
    format!(
        "The gateway of {} knows the store {lost}. At {at} {found}.\n\
         To adopt it means, for every gateway that knows {lost}:\n  \
         - it goes on with this store, by itself when it runs;\n  \
         - keys that it knows and this store lacks get UNAVAILABLE until they are restored; \
         their sessions stay;\n  \
         - keys that it knows as revoked or deleted are ended here, too;\n  \
         - all other keys of {lost} are unknown.\n\
         If {lost} can be restored from a backup, do that instead.",
        config.data_dir.display()
    )
}

fn of_token(done: &Adopted) -> String {
    match &done.token {
        TokenFate::NotNeeded => String::new(),
        TokenFate::PutBack(id) => {
            format!("It had no valid admin token: {id}, from admin.token, is in it again.\n")
        }
        TokenFate::NoneHere => {
            "It has no valid admin token, and there is none here: do the same with the --data-dir \
             of a gateway that has an admin.token, or start this gateway again, which makes \
             one.\n"
                .to_owned()
        }
        TokenFate::Ended(id) => format!(
            "It has no valid admin token, and {id} in admin.token has ended: move that file away \
             and start the gateway again, which makes a new one.\n"
        ),
    }
}
