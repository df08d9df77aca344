//! `muster serve` with wrong settings, and what holds for every command.

use std::fs;
use std::process::Stdio;

use super::{Site, done, muster};
use crate::support::within;

#[tokio::test]
async fn wrong_usage_ends_with_2_and_says_how_it_is_done() {
    let dir = tempfile::tempdir().unwrap();
    for words in [
        &[][..],
        &["nonsense"],
        &["keys"],
        &["keys", "create"],
        &["keys", "create", "web", "--expires-in", "90"],
        &["keys", "edit", "web"],
        &["keys", "list", "--status", "gone"],
        &["keys", "list", "-o", "xml"],
        &["sessions", "disconnect"],
        &["completions", "tcsh"],
    ] {
        let told = done(muster(dir.path(), words)).await;
        told.refused(2, &[]);
        assert!(
            told.err.contains("sage:") || told.err.contains("--help"),
            "{}",
            told.err
        );
    }
    let help = done(muster(dir.path(), &["keys", "--help"])).await;
    assert!(help.ok().contains("Examples:"));
    let version = done(muster(dir.path(), &["--version"])).await;
    assert!(version.ok().starts_with("muster "));
}

#[tokio::test]
async fn a_bad_or_unknown_setting_is_named_before_anything_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("muster.toml");
    let file = file.to_str().unwrap();
    // Flags, variables, lines of the file; what the error names.
    type Case<'a> = (
        &'a [&'a str],
        &'a [(&'a str, &'a str)],
        &'a str,
        &'a [&'a str],
    );
    let cases: [Case; 9] = [
        (&["--agent-listen", "7443"], &[], "", &["--agent-listen"]),
        (&["--max-connections", "0"], &[], "", &["max-connections"]),
        (&["--no-such-flag", "1"], &[], "", &["--no-such-flag"]),
        (
            &[],
            &[("MUSTER_ADMIN_LISTEN", "here")],
            "",
            &["MUSTER_ADMIN_LISTEN"],
        ),
        (&[], &[("MUSTER_TYPO", "1")], "", &["MUSTER_TYPO"]),
        (
            &[],
            &[],
            "tls-deadline = \"soon\"",
            &["tls-deadline", "muster.toml line 1"],
        ),
        (
            &[],
            &[],
            "\nagent-lisen = \"127.0.0.1:0\"",
            &[
                "agent-lisen",
                "muster.toml line 2",
                "did you mean agent-listen?",
            ],
        ),
        (&[], &[], "this is not TOML", &["muster.toml line 1"]),
        (&["--tls-cert", "a.pem"], &[], "", &["tls-key"]),
    ];
    for (flags, variables, lines, named) in cases {
        fs::write(file, lines).unwrap();
        let mut serve = muster(dir.path(), &["serve", "--config", file]);
        serve.args(flags).envs(variables.iter().copied());
        done(serve).await.refused(2, named);
        assert!(!dir.path().join("muster-data").exists(), "{named:?}");
    }
    let absent = ["serve", "--config", "absent.toml"];
    done(muster(dir.path(), &absent))
        .await
        .refused(2, &["absent.toml"]);
    assert!(!dir.path().join("muster-data").exists());
}

#[tokio::test]
async fn an_address_in_use_is_named() {
    let site = Site::start().await;
    let held = fs::read_to_string(site.path("muster-data/agent.address")).unwrap();
    let mut serve = muster(
        site.dir.path(),
        &[
            "serve",
            "--data-dir",
            "other",
            "--agent-listen",
            held.trim(),
        ],
    );
    serve.args([
        "--admin-listen",
        "127.0.0.1:0",
        "--ops-listen",
        "127.0.0.1:0",
    ]);
    done(serve).await.refused(1, &[held.trim()]);
}

#[tokio::test]
async fn completions_are_a_script_of_the_shell() {
    let dir = tempfile::tempdir().unwrap();
    let script = done(muster(dir.path(), &["completions", "bash"])).await;
    assert!(script.ok().contains("complete -F _muster"));
    for command in ["serve", "agent-config", "--key-out"] {
        assert!(script.out.contains(command), "{command}");
    }
    // A shell reads it.
    let file = dir.path().join("muster.bash");
    fs::write(&file, &script.out).unwrap();
    let mut bash = tokio::process::Command::new("bash");
    bash.arg("-n").arg(&file);
    assert_eq!(done(bash).await.ok(), "");
}

#[tokio::test]
async fn every_command_has_a_manual_page() {
    let dir = tempfile::tempdir().unwrap();
    done(muster(dir.path(), &["man", "pages"])).await.ok();
    for (page, words) in [
        ("muster.1", "Examples:"),
        ("muster-serve.1", "agent\\-listen"),
        ("muster-keys-create.1", "muster keys create"),
        ("muster-agent-config.1", "muster\\-agent\\-config"),
    ] {
        let text = fs::read_to_string(dir.path().join("pages").join(page)).unwrap();
        assert!(text.contains(words), "{words} in {page}: {text}");
    }
    fs::write(dir.path().join("file"), "").unwrap();
    let told = done(muster(dir.path(), &["man", "file"])).await;
    told.refused(1, &["can't write pages to file"]);
}

#[tokio::test]
async fn a_reader_that_has_gone_is_no_error() {
    let dir = tempfile::tempdir().unwrap();
    for words in [&["completions", "bash"][..], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = muster(dir.path(), words);
        command.stdout(Stdio::from(writer)).stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        drop(command);
        let output = within("the command's end", child.wait_with_output()).await;
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{words:?}");
    }
}
