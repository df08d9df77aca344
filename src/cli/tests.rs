//! The admin commands from the command line to the wire and back, against a
//! fake of the admin API.

mod audit;
mod fake;
mod keys;
mod settings;
mod tokens;

use std::cell::RefCell;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;

use clap::{CommandFactory, Parser};
use serde_json::Value;
use tonic::Status;

use self::fake::{Fake, key};
use super::output::{Console, Format};
use super::{Cli, run};
use crate::proto::admin::v1::{Rejection, Session};

#[derive(Clone, Default)]
struct Pipe(Rc<RefCell<Vec<u8>>>);

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.borrow_mut().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Pipe {
    fn text(&self) -> String {
        let text = String::from_utf8(self.0.borrow().clone()).unwrap();
        anstream::adapter::strip_str(&text).to_string()
    }
}

struct Done {
    code: u8,
    out: String,
    err: String,
}

impl Done {
    fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap()
    }
}

/// Types `muster <line>` with somebody at the terminal who answers `answer`.
fn type_with(dir: &Path, line: &[&str], answer: Option<&'static str>) -> Done {
    let dir = dir.to_str().unwrap();
    let words = ["muster"].into_iter().chain(line.iter().copied());
    let words: Vec<&str> = words.chain(["--data-dir", dir]).collect();
    let cli = Cli::try_parse_from(&words).unwrap_or_else(|error| panic!("{error}"));
    let matches = Cli::command().get_matches_from(&words);
    let (out, err) = (Pipe::default(), Pipe::default());
    let mut console = Console::of_test(
        cli.output,
        Box::new(out.clone()),
        Box::new(err.clone()),
        answer,
    );
    let code = match run(cli.command, &matches, &mut console) {
        Ok(()) => 0,
        Err(error) => {
            console.note(&error.told().unwrap_or_default());
            error.exit_code()
        }
    };
    Done {
        code,
        out: out.text(),
        err: err.text(),
    }
}

fn type_in(fake: &Fake, line: &[&str]) -> Done {
    type_with(fake.dir.path(), line, None)
}

fn three() -> Fake {
    Fake::start(vec![key(1, "web"), key(2, "db"), key(3, "web")])
}

#[test]
fn the_parser_is_sound_and_every_command_has_examples() {
    fn with_examples(command: &clap::Command) {
        assert!(command.get_about().is_some(), "{}", command.get_name());
        let help = command.get_after_help().map(ToString::to_string);
        assert!(
            help.is_some_and(|text| text.contains("Examples:\n")),
            "{}",
            command.get_name()
        );
        command.get_subcommands().for_each(with_examples);
    }
    Cli::command().debug_assert();
    with_examples(&Cli::command());
}

#[test]
fn every_variable_of_the_admin_commands_is_let_pass_by_serve() {
    fn variables(command: &clap::Command, found: &mut Vec<(String, String)>) {
        found.extend(command.get_arguments().filter_map(|arg| {
            let name = arg.get_env()?.to_str()?.to_owned();
            Some((name, format!("--{}", arg.get_long()?)))
        }));
        command.get_subcommands().for_each(|c| variables(c, found));
    }
    let mut found = Vec::new();
    variables(&Cli::command(), &mut found);
    assert!(found.len() >= 5, "{found:?}");
    for (variable, flag) in found {
        assert_eq!(
            variable,
            format!("MUSTER_{}", flag[2..].replace('-', "_").to_uppercase())
        );
        let shared = ["MUSTER_DATA_DIR", "MUSTER_AGENT_ADDRESS"].contains(&variable.as_str());
        assert!(shared || crate::server::config::CLIENT_VARIABLES.contains(&variable.as_str()));
    }
}

#[test]
fn wrong_usage_is_refused_by_the_parser() {
    for line in [
        &["keys", "create"][..],
        &["keys", "create", "a", "--expires-in", "90"],
        &["keys", "create", "a", "--expires-at", "tomorrow"],
        &[
            "keys",
            "create",
            "a",
            "--expires-in",
            "1d",
            "--expires-at",
            "2027-01-01T00:00:00Z",
        ],
        &["keys", "edit", "a"],
        &["keys", "list", "--status", "gone"],
        &["keys", "revoke"],
        &["sessions", "disconnect"],
        &["tokens", "create", "a"],
        &["tokens", "create", "a", "--role", "owner"],
        &["tokens", "revoke"],
        &["agent-config", "--agent-address", "nowhere"],
        &["serve", "--agent-listen", "7443"],
    ] {
        let words = ["muster"].into_iter().chain(line.iter().copied());
        let error = Cli::try_parse_from(words).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{line:?}");
    }
}

#[test]
fn sessions_and_gateways_are_listed() {
    let fake = three();
    let done = type_in(&fake, &["sessions", "list"]);
    assert_eq!((done.code, done.out.as_str()), (0, ""));
    assert!(done.err.contains("No agent is connected"));
    fake.state.lock().sessions = (1..=5)
        .map(|n| Session {
            session_id: format!("g1-{n}"),
            gateway_id: "g1".to_owned(),
            gateway_name: "one".to_owned(),
            key_object_id: format!("key_{:016}", 1 + n % 2),
            agent_id: "a".to_owned(),
            peer: "192.0.2.7:5555".to_owned(),
            user_agent: "nginx-agent/\u{1b}]0;x\u{7}".to_owned(),
            opened_at: fake::time(1_700_000_000),
        })
        .collect();
    let done = type_in(&fake, &["sessions", "list"]);
    assert_eq!(done.out.lines().count(), 6, "{}", done.out);
    assert!(!done.out.contains('\u{7}'), "{}", done.out);
    let rows = type_in(&fake, &["sessions", "list", "--key", "db", "-o", "json"]).json();
    assert_eq!(rows.as_array().unwrap().len(), 3);
    assert_eq!(rows[0]["opened_at"], "2023-11-14T22:13:20Z");

    let done = type_in(&fake, &["sessions", "disconnect", "g1-1"]);
    assert_eq!(done.out, "g1-1: closed in 3 ms\n");
    let done = type_in(&fake, &["sessions", "disconnect", "g1-1"]);
    assert_eq!(done.code, 1);

    let done = type_in(&fake, &["gateways", "list"]);
    assert!(
        done.out
            .ends_with("  2       0.9 s     2         192.0.2.1:9443  one (answering)\n"),
        "{}",
        done.out
    );
    let rows = type_in(&fake, &["gateways", "list", "-o", "json"]).json();
    assert_eq!(rows[0]["applied_revision"], 5);
    let done = type_in(&fake, &["gateways", "forget", "g0"]);
    assert_eq!(
        (done.code, done.out.as_str()),
        (0, "Forgot the gateway g0.\n")
    );
    let done = type_in(&fake, &["gateways", "forget", "g1"]);
    assert_ne!(done.code, 0);
}

#[test]
fn rejections_are_listed_with_their_cure() {
    let fake = three();
    let list = ["rejections", "list"];
    let done = type_in(&fake, &list);
    assert_eq!((done.code, done.out.as_str()), (0, ""));
    assert!(done.err.contains("Nothing was refused"), "{}", done.err);
    let agent = "00000000-0000-0000-0000-00000000000a";
    fake.state.lock().rejections = (1..=5)
        .map(|n| Rejection {
            reason: if n == 5 { "NOT_TLS" } else { "KEY_REVOKED" }.to_owned(),
            meaning: "It\u{1b}[2J means.".to_owned(),
            cure: "Cure it.".to_owned(),
            key_object_id: match n {
                5 => String::new(),
                n => format!("key_{:016}", 1 + n % 2),
            },
            agent_id: if n == 1 { agent } else { "" }.to_owned(),
            address: "192.0.2.7".to_owned(),
            gateway_id: "g1".to_owned(),
            gateway_name: "one".to_owned(),
            count: n,
            first_at: fake::time(1_700_000_000),
            last_at: fake::time(1_700_000_001),
        })
        .collect();
    let done = type_in(&fake, &list);
    let lines: Vec<&str> = done.out.lines().collect();
    let header: Vec<&str> = lines[0].split_whitespace().collect();
    assert_eq!(
        header,
        [
            "LAST", "COUNT", "REASON", "KEY", "AGENT", "ADDRESS", "GATEWAY"
        ]
    );
    assert!(
        lines[5].ends_with(
            "NOT_TLS      -                     -                                     192.0.2.7  one"
        ),
        "{}",
        done.out
    );
    assert_eq!(
        lines[6..],
        [
            "",
            "KEY_REVOKED: It\\u{1b}[2J means. Cure it.",
            "",
            "NOT_TLS: It\\u{1b}[2J means. Cure it."
        ]
    );
    let rows = type_in(&fake, &["rejections", "list", "--key", "db", "-o", "json"]).json();
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert_eq!(rows[0]["last_at"], "2023-11-14T22:13:21Z");
    assert_eq!(rows[0]["cure"], "Cure it.");
    let one = &["rejections", "list", "--agent", &agent.to_uppercase()];
    assert!(type_in(&fake, one).out.contains(agent));
    let done = type_in(&fake, &["rejections", "list", "--agent", "host-7"]);
    assert_eq!(done.code, 2, "{}", done.err);
    let done = type_in(&fake, &["rejections", "list", "--agent", "dpk_x"]);
    assert!(
        done.code == 2 && !done.err.contains("dpk_x"),
        "{}",
        done.err
    );
}

#[test]
fn failures_say_what_to_do_next() {
    let fake = three();
    let list = ["keys", "list"];
    fake.state.lock().token = "Bearer other".to_owned();
    let done = type_in(&fake, &list);
    assert_eq!(done.code, 1);
    assert!(
        done.err.contains("did not accept the token in"),
        "{}",
        done.err
    );
    fake.state.lock().broken = Some(Status::unavailable("the store is away"));
    let done = type_in(&fake, &list);
    assert!(
        done.err
            .contains("the store is away\n  is `muster serve` running"),
        "{}",
        done.err
    );

    let other = three();
    std::fs::copy(
        other.dir.path().join("ca.pem"),
        fake.dir.path().join("ca.pem"),
    )
    .unwrap();
    let done = type_in(&fake, &list);
    assert_eq!(done.code, 1);
    assert!(done.err.contains("not issued by the CA in"), "{}", done.err);

    std::fs::write(fake.dir.path().join("admin.url"), "https://127.0.0.1:1").unwrap();
    let done = type_in(&fake, &list);
    assert_eq!(done.code, 1);
    assert!(
        done.err.contains("is `muster serve` running there?"),
        "{}",
        done.err
    );
    assert!(done.out.is_empty());
}

#[test]
fn a_format_is_a_flag_of_every_command() {
    for line in [
        &["-o", "json", "keys", "list"][..],
        &["keys", "-o", "json", "list"],
        &["keys", "list", "--output", "json"],
    ] {
        let words = ["muster"].into_iter().chain(line.iter().copied());
        let cli = Cli::try_parse_from(words).unwrap();
        assert_eq!(cli.output, Format::Json, "{line:?}");
    }
}
