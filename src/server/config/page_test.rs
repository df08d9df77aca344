//! `docs/configuration.md` has every setting.

use std::fmt::Write as _;

use clap::{Args as _, Command};

use super::Settings;
use super::settings::range_of;

const HEAD: &str = "# Configuration

Every setting has one name in three places: the flag `--agent-listen` of `muster serve`, the
variable `MUSTER_AGENT_LISTEN`, and `agent-listen` in a TOML file (`--config FILE`). A flag wins
over the environment, the environment over the file. All faults are reported at once, each with
where the value came from.
";

#[test]
fn configuration_page_is_current() {
    let command = Settings::augment_args(Command::new("muster"));
    let mut page = HEAD.to_owned();
    let mut heading = String::new();
    for argument in command.get_arguments() {
        let Some(name) = argument.get_long() else {
            continue;
        };
        let group = argument.get_help_heading().unwrap_or_default();
        if group != heading {
            heading = group.to_owned();
            write!(page, "\n## {group}\n\n| Setting | Value | Default | Range | Meaning |\n| --- | --- | --- | --- | --- |\n").unwrap();
        }
        let help = argument
            .get_help()
            .map(ToString::to_string)
            .unwrap_or_default();
        let (help, default) = match help.split_once(" [default: ") {
            Some((help, default)) => (
                help.to_owned(),
                format!("`{}`", default.trim_end_matches(']')),
            ),
            None => (help, String::new()),
        };
        let value = argument.get_value_names().unwrap_or_default().join(" ");
        let help = help.replace('|', "\\|");
        let range = range_of(name).unwrap_or_default();
        writeln!(
            page,
            "| `{name}` | {value} | {default} | {range} | {help} |"
        )
        .unwrap();
    }
    crate::files::page_is_current("docs/configuration.md", &page);
}
