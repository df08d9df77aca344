//! The three sources of settings: flags, environment, file.
//!
//! Owns: reading each into a [`Layer`] and laying them over each other. Must
//! not know: which values are allowed. Invariant: nothing is dropped in
//! silence; a name that is no setting is a [`Problem`].

use std::collections::BTreeMap;
use std::error::Error;
use std::ffi::{OsStr, OsString};
use std::path::Path;

use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use toml::de::DeTable;

use super::error::{Origin, Problem};
use super::settings::Settings;

const PREFIX: &str = "MUSTER_";
/// Names the configuration file.
const CONFIG_VARIABLE: &str = "MUSTER_CONFIG";
/// Variables of the admin commands: the same environment serves both, so
/// `serve` lets them pass. (`MUSTER_DATA_DIR` and `MUSTER_AGENT_ADDRESS`, which
/// the admin commands read too, are settings.)
pub(crate) const CLIENT_VARIABLES: [&str; 3] =
    ["MUSTER_ADMIN_URL", "MUSTER_TOKEN_FILE", "MUSTER_CA"];

/// Settings, and where each of them came from.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub settings: Settings,
    origins: BTreeMap<String, Origin>,
}

impl Layer {
    /// These settings, and `lower` wherever they say nothing.
    pub fn over(self, lower: Self) -> Self {
        let mut origins = lower.origins;
        origins.extend(self.origins);
        Self {
            settings: self.settings.over(lower.settings),
            origins,
        }
    }

    /// Where the value of a setting came from.
    pub fn origin(&self, setting: &str) -> Origin {
        self.origins
            .get(setting)
            .cloned()
            .unwrap_or(Origin::Default)
    }

    /// What the command line gave, from clap's reading of it.
    pub fn of_flags(settings: Settings, matches: &ArgMatches) -> Self {
        let given = names().filter(|name| {
            let id = name.replace('-', "_");
            matches.try_contains_id(&id).is_ok()
                && matches.value_source(&id) == Some(ValueSource::CommandLine)
        });
        let origins = given
            .map(|name| (name.clone(), Origin::Flag(format!("--{name}"))))
            .collect();
        Self { settings, origins }
    }

    /// What the environment gives, and the name of the configuration file
    /// should it be there.
    pub fn of_environment(
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        problems: &mut Vec<Problem>,
    ) -> (Self, Option<OsString>) {
        let mut layer = Self::default();
        let mut config_file = None;
        let known: BTreeMap<String, String> =
            names().map(|name| (variable_of(&name), name)).collect();
        let ours: BTreeMap<String, OsString> = environment
            .into_iter()
            .map(|(variable, value)| (variable.to_string_lossy().into_owned(), value))
            .filter(|(variable, _)| variable.starts_with(PREFIX))
            .collect();
        for (variable, value) in ours {
            let origin = Origin::Environment(variable.clone());
            if let Some(setting) = known.get(&variable) {
                match read_text(setting, &value) {
                    Ok(settings) => {
                        layer.settings = settings.over(layer.settings);
                        layer.origins.insert(setting.clone(), origin);
                    }
                    Err(fault) => problems.push(Problem::Value {
                        setting: setting.clone(),
                        origin,
                        fault,
                    }),
                }
            } else if variable == CONFIG_VARIABLE {
                config_file = Some(value);
            } else if !CLIENT_VARIABLES.contains(&variable.as_str())
                && !is_service_link(&variable, &value)
            {
                let others = CLIENT_VARIABLES.into_iter().chain([CONFIG_VARIABLE]);
                let names = known.keys().map(String::as_str).chain(others);
                problems.push(Problem::Unknown {
                    suggestion: closest(&variable, names),
                    name: variable,
                    origin,
                });
            }
        }
        (layer, config_file)
    }

    /// What the TOML file at `path` gives; `named_by` is where it was named.
    pub fn of_file(path: &Path, named_by: Origin, problems: &mut Vec<Problem>) -> Self {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::of_toml(path, &text, problems),
            Err(error) => {
                problems.push(Problem::File {
                    path: path.to_owned(),
                    origin: named_by,
                    fault: error.to_string(),
                });
                Self::default()
            }
        }
    }

    fn of_toml(path: &Path, text: &str, problems: &mut Vec<Problem>) -> Self {
        let mut layer = Self::default();
        let line_of = |at: usize| {
            1 + text.as_bytes()[..at.min(text.len())]
                .iter()
                .filter(|b| **b == b'\n')
                .count()
        };
        let parsed = DeTable::parse(text).and_then(|keys| Ok((keys, text.parse::<toml::Table>()?)));
        let (keys, mut values) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                problems.push(Problem::Syntax {
                    path: path.to_owned(),
                    line: line_of(error.span().map_or(0, |span| span.start)),
                    fault: error.message().to_owned(),
                });
                return layer;
            }
        };
        let mut keys: Vec<_> = keys.into_inner().into_iter().map(|(key, _)| key).collect();
        keys.sort_by_key(|key| key.span().start);
        for key in keys {
            let origin = Origin::File {
                path: path.to_owned(),
                line: line_of(key.span().start),
            };
            let name = key.get_ref().to_string();
            let known: Vec<String> = names().collect();
            if !known.contains(&name) {
                problems.push(Problem::Unknown {
                    suggestion: closest(&name, known.iter().map(String::as_str)),
                    name,
                    origin,
                });
                continue;
            }
            // One setting at a time, so that each fault is reported, and
            // with its name and line.
            let one: toml::Table = values.remove_entry(&name).into_iter().collect();
            match one.try_into::<Settings>() {
                Ok(settings) => {
                    layer.settings = settings.over(layer.settings);
                    layer.origins.insert(name, origin);
                }
                Err(error) => problems.push(Problem::Value {
                    // The parser quotes a number; it may be a password.
                    fault: match name.as_str() {
                        "store" => "expected text in quotes".to_owned(),
                        _ => error.message().to_owned(),
                    },
                    setting: name,
                    origin,
                }),
            }
        }
        layer
    }
}

/// The names of all settings, as in the TOML file.
pub(super) fn names() -> impl Iterator<Item = String> {
    let all: Vec<String> = Settings::augment_args(Command::new(""))
        .get_arguments()
        .map(|arg| arg.get_id().as_str().replace('_', "-"))
        .collect();
    all.into_iter()
}

/// The environment variable of a setting.
pub(super) fn variable_of(setting: &str) -> String {
    format!("{PREFIX}{}", setting.replace('-', "_").to_uppercase())
}

/// Reads one setting by clap's own rules, so that a variable takes what the
/// flag takes. (clap's reading of the environment would name the flag, not the
/// variable, in its errors.)
fn read_text(setting: &str, value: &OsStr) -> Result<Settings, String> {
    if value.is_empty() {
        return Err("it is set but empty: give it a value, or unset it".to_owned());
    }
    let mut flag = OsString::from(format!("--{setting}="));
    flag.push(value);
    let command = Settings::augment_args(
        Command::new("environment")
            .no_binary_name(true)
            .disable_help_flag(true),
    );
    command
        .try_get_matches_from([flag])
        .and_then(|matches| Settings::from_arg_matches(&matches))
        .map_err(|error| match (error.source(), value.to_str()) {
            (Some(source), Some(text)) => format!("{text:?}: {source}"),
            (_, None) => "it is not UTF-8".to_owned(),
            (None, Some(text)) => format!("{text:?}: not a value for this setting"),
        })
}

/// Kubernetes gives every pod variables for the services of its namespace. For
/// a service called `muster`, or `muster-admin`, they begin like our settings,
/// no person wrote them, and no person can rename them: they are no misspelt settings.
fn is_service_link(variable: &str, value: &OsStr) -> bool {
    let is_link = |rest: &str| -> bool {
        if rest == "SERVICE_HOST" || rest == "SERVICE_PORT" || rest.starts_with("SERVICE_PORT_") {
            return true;
        }
        let Some(port) = rest.strip_prefix("PORT") else {
            return false;
        };
        if port.is_empty() {
            // Only with a link's value: MUSTER_ADMIN_PORT=7444 is a mistake.
            return value.to_str().is_some_and(|text| text.contains("://"));
        }
        let mut parts = port.split('_').skip(1);
        let number = parts.next().unwrap_or_default();
        let protocol = parts.next().unwrap_or_default();
        !number.is_empty()
            && number.bytes().all(|b| b.is_ascii_digit())
            && matches!(protocol, "TCP" | "UDP" | "SCTP")
            && matches!(parts.next(), None | Some("PROTO" | "PORT" | "ADDR"))
            && parts.next().is_none()
    };
    // With or without an infix of any number of words.
    variable
        .match_indices('_')
        .any(|(at, _)| is_link(&variable[at + 1..]))
}

/// The candidate that differs least from `name`, if it is close enough to be
/// what was meant.
pub(crate) fn closest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<String> {
    // An underscore for a hyphen is the likeliest mistake of all.
    let same = |text: &str| text.replace('_', "-").to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| {
            (
                strsim::levenshtein(&same(name), &same(candidate)),
                candidate,
            )
        })
        .min()
        .filter(|(distance, candidate)| *distance <= 3.min(candidate.len() / 3))
        .map(|(_, candidate)| candidate.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubernetes_links_are_told_from_settings() {
        for link in [
            "MUSTER_SERVICE_HOST",
            "MUSTER_SERVICE_PORT",
            "MUSTER_SERVICE_PORT_GRPC",
            "MUSTER_PORT",
            "MUSTER_PORT_7443_TCP",
            "MUSTER_PORT_7443_TCP_ADDR",
            "MUSTER_ADMIN_SERVICE_HOST",
            "MUSTER_ADMIN_PORT",
            "MUSTER_ADMIN_PORT_7444_UDP_PROTO",
        ] {
            assert!(
                is_service_link(link, OsStr::new("tcp://10.0.0.1:1")),
                "{link}"
            );
        }
        for setting in [
            "MUSTER_ADMIN_PORT",
            "MUSTER_PORT",
            "MUSTER_AGENT_LISTN",
            "MUSTER_PORT_X_TCP",
            "MUSTER_PORTAL",
            "MUSTER_PORT_1_TCP_ADDR_X",
        ] {
            assert!(!is_service_link(setting, OsStr::new("7444")), "{setting}");
        }
    }

    #[test]
    fn close_names_are_suggested_and_far_ones_are_not() {
        let names = ["agent-listen", "admin-listen", "log"];
        assert_eq!(closest("agent-listn", names).unwrap(), "agent-listen");
        assert_eq!(closest("agent_listen", names).unwrap(), "agent-listen");
        assert_eq!(closest("colour", names), None);
    }
}
