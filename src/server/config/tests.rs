//! The configuration from outside: three sources in, one configuration or its
//! problems out.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use clap::{Args, Command, FromArgMatches};

use super::layers::{names, variable_of};
use super::*;

/// The configuration of flags, variables and the text of a file.
fn load(flags: &[&str], variables: &[(&str, &str)], toml: &str) -> Result<Config, String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("muster.toml");
    fs::write(&path, toml).unwrap();
    let matches =
        Settings::augment_args(Command::new("serve").no_binary_name(true)).get_matches_from(flags);
    let settings = Settings::from_arg_matches(&matches).unwrap();
    let environment = variables
        .iter()
        .map(|(name, value)| (OsString::from(name), OsString::from(value)));
    Config::load(settings, &matches, Some(&path), environment).map_err(|error| {
        error
            .to_string()
            .replace(path.to_str().unwrap(), "muster.toml")
    })
}

/// A value other than the default for each setting, as text.
fn other_value(setting: &str, base: u64) -> String {
    match setting {
        "store" => format!("rediss://h:{base}/0"),
        "redis-prefix" => format!("p{base}"),
        "redis-replicas" => (base % 1000).to_string(),
        "data-dir"
        | "ca-dir"
        | "tls-cert"
        | "tls-key"
        | "redis-password-file"
        | "redis-ca-file" => {
            format!("/some/where/{base}")
        }
        "agent-listen" => format!("127.0.0.1:{}", base + 1),
        "admin-listen" => format!("127.0.0.1:{}", base + 2),
        "ops-listen" => format!("[::1]:{}", base + 3),
        "agent-address" => format!("muster.example.com:{base}"),
        "gateway-name" => format!("g{base}"),
        "log" => format!("info,muster=debug,x{base}=trace"),
        "log-format" => "json".to_owned(),
        "staleness" => "strict".to_owned(),
        // In their order, also each beside the defaults of the others.
        "stale-uncached-after" => format!("{}ms", 3_000 + base),
        "stale-after" => format!("{}ms", 60_000 + base),
        "stale-limit" => format!("{}ms", 900_000 + base),
        "audit-keep" => format!("{base}days"),
        time if !is_count(time) => format!("{base}ms"),
        _ => (65_535 + base).to_string(),
    }
}

fn is_count(setting: &str) -> bool {
    setting.starts_with("max-")
        || setting.ends_with("-bytes")
        || ["cache-capacity", "min-free-disk", "redis-replicas"].contains(&setting)
}

fn toml_of(base: u64) -> String {
    names()
        .map(|name| {
            let value = other_value(&name, base);
            if is_count(&name) {
                format!("{name} = {value}\n")
            } else {
                format!("{name} = {value:?}\n")
            }
        })
        .collect()
}

#[test]
fn every_setting_can_be_given_in_each_of_the_three_ways() {
    let from_file = load(&[], &[], &toml_of(100)).unwrap();
    let flags: Vec<String> = names()
        .map(|name| format!("--{name}={}", other_value(&name, 100)))
        .collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let variables: Vec<(String, String)> = names()
        .map(|name| (variable_of(&name), other_value(&name, 100)))
        .collect();
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    assert_eq!(load(&flags, &[], "").unwrap(), from_file);
    assert_eq!(load(&[], &variables, "").unwrap(), from_file);

    // Each of them changes something: none is read and then forgotten.
    let default = load(&[], &[], "").unwrap();
    for flag in &flags {
        if flag.starts_with("--tls-cert") || flag.starts_with("--tls-key") {
            continue;
        }
        assert_ne!(load(&[flag], &[], "").unwrap(), default, "{flag}");
    }
    assert!(from_file.tls.own.is_some());
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let flags: Vec<String> = names()
        .map(|name| format!("--{name}={}", other_value(&name, 300)))
        .collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let variables: Vec<(String, String)> = names()
        .map(|name| (variable_of(&name), other_value(&name, 200)))
        .collect();
    let variables: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let file = toml_of(100);
    let expected = |base| load(&[], &[], &toml_of(base)).unwrap();
    assert_eq!(load(&flags, &variables, &file).unwrap(), expected(300));
    assert_eq!(load(&[], &variables, &file).unwrap(), expected(200));
    assert_eq!(load(&[], &[], &file).unwrap(), expected(100));

    let mixed = load(
        &["--drain-time=3s"],
        &[("MUSTER_DRAIN_TIME", "4s"), ("MUSTER_REVOKE_WAIT", "6s")],
        "drain-time = \"7s\"\nrevoke-wait = \"8s\"\nload-deadline = \"9s\"\n",
    )
    .unwrap();
    let seconds = |span: Duration| span.as_secs();
    assert_eq!(seconds(mixed.timing.drain_time), 3);
    assert_eq!(seconds(mixed.timing.revoke_wait), 6);
    assert_eq!(seconds(mixed.timing.load_deadline), 9);
    assert_eq!(seconds(mixed.timing.feed_interval), 1);
}

#[test]
fn the_defaults_are_those_that_the_help_names() {
    let flags: Vec<String> = Settings::augment_args(Command::new(""))
        .get_arguments()
        .filter_map(|arg| {
            let help = arg.get_help()?.to_string();
            let default = help.split_once("[default: ")?.1.strip_suffix(']')?;
            Some(format!("--{}={default}", arg.get_long()?))
        })
        .collect();
    assert!(flags.len() >= 26, "{flags:?}");
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let mut named = load(&flags, &[], "").unwrap();
    assert_eq!(named, load(&[], &[], "").unwrap());
    named.gateway_name = "gateway".to_owned();
    assert_eq!(named, Config::default());
}

#[test]
fn flag_and_toml_name_are_the_same() {
    let command = Settings::augment_args(Command::new(""));
    let flags: BTreeSet<String> = command
        .get_arguments()
        .map(|arg| arg.get_long().unwrap().to_owned())
        .collect();
    assert_eq!(flags, names().collect());
    assert_eq!(variable_of("agent-listen"), "MUSTER_AGENT_LISTEN");
}

#[test]
fn a_bad_value_names_setting_source_rule_and_cure() {
    /// Flags, variables, the file, the error.
    type Case = (
        &'static [&'static str],
        &'static [(&'static str, &'static str)],
        &'static str,
        &'static str,
    );
    let cases: [Case; 22] = [
        (
            &[],
            &[],
            "data-dir = \"\"\n",
            "configuration: data-dir (muster.toml line 1): it is empty; expected a path",
        ),
        (
            &[],
            &[("MUSTER_AGENT_LISTEN", "7443")],
            "",
            "configuration: agent-listen (environment variable MUSTER_AGENT_LISTEN): \"7443\": expected an IP address and a port, for example 127.0.0.1:7443, 0.0.0.0:7443 or [::]:7443",
        ),
        (
            &[],
            &[("MUSTER_MAX_CONNECTIONS", "many")],
            "",
            "configuration: max-connections (environment variable MUSTER_MAX_CONNECTIONS): \"many\": expected a whole number, for example 4096",
        ),
        (
            &[],
            &[("MUSTER_DATA_DIR", "")],
            "",
            "configuration: data-dir (environment variable MUSTER_DATA_DIR): it is set but empty: give it a value, or unset it",
        ),
        (
            &[],
            &[("MUSTER_LOG_FORMAT", "xml")],
            "",
            "configuration: log-format (environment variable MUSTER_LOG_FORMAT): \"xml\": expected text or json",
        ),
        (
            &[],
            &[],
            "\ntls-deadline = 5\n",
            "configuration: tls-deadline (muster.toml line 2): invalid type: integer `5`, expected a span of time with its unit, for example 5s, 500ms or 2m",
        ),
        (
            &[],
            &[],
            "agent-address = \"muster\"\n",
            "configuration: agent-address (muster.toml line 1): invalid value: string \"muster\", expected a host name or IP address and a port, for example muster.example.com:7443, 192.0.2.7:7443 or [2001:db8::7]:7443",
        ),
        (
            &[],
            &[],
            "max-connections = -1\n",
            "configuration: max-connections (muster.toml line 1): invalid value: integer `-1`, expected a whole number, for example 4096",
        ),
        (
            &[],
            &[],
            "gateway-name = 7\n",
            "configuration: gateway-name (muster.toml line 1): invalid type: integer `7`, expected a string",
        ),
        (
            &["--max-concurrent-streams=1"],
            &[],
            "",
            "configuration: max-concurrent-streams (flag --max-concurrent-streams): 1 is out of range: expected 2 to 4294967295",
        ),
        (
            &[],
            &[("MUSTER_MAX_CONCURRENT_STREAMS", "99999999999")],
            "",
            "configuration: max-concurrent-streams (environment variable MUSTER_MAX_CONCURRENT_STREAMS): 99999999999 is out of range: expected 2 to 4294967295",
        ),
        (
            &["--revoke-wait=31s"],
            &[],
            "",
            "configuration: revoke-wait (flag --revoke-wait): 31s is out of range: expected 0s to 30s",
        ),
        (
            &["--tls-cert=a.pem"],
            &[],
            "",
            "configuration: tls-cert (flag --tls-cert): it needs tls-key, the private key that belongs to it; give both or neither",
        ),
        (
            &[],
            &[],
            "tls-key = \"a.pem\"\n",
            "configuration: tls-key (muster.toml line 1): it needs tls-cert, the certificate that belongs to it; give both or neither",
        ),
        (
            &["--agent-listen=0.0.0.0:7444"],
            &[],
            "",
            "configuration: agent-listen (flag --agent-listen): 127.0.0.1:7444 and 0.0.0.0:7444: agent-listen and admin-listen would share a port; give each its own",
        ),
        (
            &["--feed-interval=3s"],
            &[],
            "",
            "configuration: feed-interval (flag --feed-interval): stale-uncached-after (3s) must be longer than feed-interval (3s)",
        ),
        (
            &["--stale-after=2s"],
            &[],
            "",
            "configuration: stale-after (flag --stale-after): stale-after (2s) must not be shorter than stale-uncached-after (3s)",
        ),
        (
            &[],
            &[],
            "stale-after = \"20m\"\n",
            "configuration: stale-after (muster.toml line 1): stale-limit (15m) must not be shorter than stale-after (20m)",
        ),
        (
            &[],
            &[("MUSTER_STALENESS", "lax")],
            "",
            "configuration: staleness (environment variable MUSTER_STALENESS): \"lax\": expected strict or best_effort",
        ),
        (
            &["--log=inof"],
            &[],
            "",
            "configuration: log (flag --log): \"inof\": \"inof\" is not a level; expected off, error, warn, info, debug or trace, or a filter such as info,muster=debug",
        ),
        (
            &["--gateway-name=a\nb"],
            &[],
            "",
            "configuration: gateway-name (flag --gateway-name): expected 1 to 128 characters without control characters",
        ),
        (
            &[],
            &[],
            "data-dir = \n",
            "configuration: muster.toml line 1: not TOML: string values must be quoted, expected literal string",
        ),
    ];
    for (flags, variables, toml, expected) in cases {
        assert_eq!(load(flags, variables, toml).unwrap_err(), expected);
    }
}

#[test]
fn a_ca_for_redis_needs_tls() {
    let ca = "--redis-ca-file=ca.pem";
    load(&["--store=rediss://h:1/0", ca], &[], "").unwrap();
    for plain in ["--store=redis://h:1/0", "--store=redis-sentinel://h:1/m"] {
        let told = load(&[plain, ca], &[], "").unwrap_err();
        assert!(told.contains("only for a store of rediss://"), "{told}");
    }
}

#[test]
fn a_password_for_redis_is_never_told() {
    let wrong = "redis://anna:hunter2/x@h:1/0";
    for (flags, variables, toml) in [
        (vec![format!("--store={wrong}")], vec![], String::new()),
        (vec![], vec![("MUSTER_STORE", wrong)], String::new()),
        (vec![], vec![], format!("store = \"{wrong}\"\n")),
    ] {
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let told = load(&flags, &variables, &toml).unwrap_err();
        assert!(told.starts_with("configuration: store ("), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }
    let config = load(&["--store=redis://anna:hunter2@h:1/0"], &[], "").unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
    let twice = load(
        &["--store=redis://:hunter2@h:1/0", "--redis-password-file=p"],
        &[],
        "",
    );
    let told = twice.unwrap_err();
    assert!(told.contains("redis-password-file (flag"), "{told}");
}

#[test]
fn an_unknown_setting_is_an_error_with_a_suggestion() {
    for (variables, toml, expected) in [
        (
            &[("MUSTER_AGENT_LISTN", "x")][..],
            "",
            "configuration: unknown setting \"MUSTER_AGENT_LISTN\" (environment variable MUSTER_AGENT_LISTN); did you mean MUSTER_AGENT_LISTEN?",
        ),
        (
            &[],
            "agent_listen = \"127.0.0.1:1\"\n",
            "configuration: unknown setting \"agent_listen\" (muster.toml line 1); did you mean agent-listen?",
        ),
        (
            &[],
            "log = \"info\"\n[tls]\ncert = \"x\"\n",
            "configuration: unknown setting \"tls\" (muster.toml line 2); see `muster serve --help` for all settings",
        ),
        (
            &[("MUSTER_COLOUR", "x")],
            "",
            "configuration: unknown setting \"MUSTER_COLOUR\" (environment variable MUSTER_COLOUR); see `muster serve --help` for all settings",
        ),
    ] {
        assert_eq!(load(&[], variables, toml).unwrap_err(), expected);
    }
}

#[test]
fn every_problem_is_told_at_once() {
    let told = load(
        &[],
        &[("MUSTER_LOG_FORMAT", "xml")],
        "max-connections = 0\nnonsense = 1\nidle-timeout = \"x\"\n",
    )
    .unwrap_err();
    assert!(
        told.starts_with("configuration: 4 problems\n  - log-format"),
        "{told}"
    );
    for name in ["MUSTER_LOG_FORMAT", "line 1", "line 2", "line 3"] {
        assert!(told.contains(name), "{told}");
    }
}

#[test]
fn variables_of_others_are_let_pass() {
    let variables = [
        ("MUSTER_ADMIN_URL", "https://127.0.0.1:7444"),
        ("MUSTER_TOKEN_FILE", "t"),
        ("MUSTER_CA", "ca"),
        ("MUSTER_SERVICE_HOST", "10.0.0.1"),
        ("MUSTER_PORT", "tcp://10.0.0.1:7443"),
        ("MUSTER_PORT_7443_TCP_PORT", "7443"),
        ("HOME", "/root"),
        ("muster_agent_listen", "x"),
    ];
    assert_eq!(load(&[], &variables, ""), load(&[], &[], ""));
}

#[test]
fn the_file_is_found_by_flag_or_variable() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("m.toml");
    fs::write(&path, "gateway-name = \"from-file\"\n").unwrap();
    let matches = Settings::augment_args(Command::new("serve")).get_matches_from(["serve"]);
    let variable = |value: &Path| [(OsString::from("MUSTER_CONFIG"), value.into())];
    let config = Config::load(Settings::default(), &matches, None, variable(&path)).unwrap();
    assert_eq!(config.gateway_name, "from-file");

    let missing = dir.path().join("none.toml");
    let fault = Config::load(Settings::default(), &matches, None, variable(&missing)).unwrap_err();
    assert_eq!(
        fault.to_string(),
        format!(
            "configuration: can't read the configuration file {} (environment variable \
             MUSTER_CONFIG): No such file or directory (os error 2)",
            missing.display()
        )
    );
    let fault = Config::load(
        Settings::default(),
        &matches,
        Some(&missing),
        variable(&path),
    )
    .unwrap_err();
    assert!(fault.to_string().contains("(flag --config)"), "{fault}");
}
