//! `muster store …` and `muster ca …`, as an operator types them: real
//! gateways, a real Redis.

mod accept_clock;
mod adopt;
mod check;
mod compact;
mod copy;

use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::TempDir;

use crate::cli::muster;
use crate::support::{Launched, PATIENCE, Process, RedisServer, within};

/// What a command did.
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Ran {
    fn ok(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        &self.out
    }

    fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        for word in words {
            assert!(self.err.contains(word), "{word} in: {}", self.err);
        }
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.out)
            .unwrap_or_else(|error| panic!("{error}: {}{}", self.out, self.err))
    }
}

/// A Redis, and a folder in which commands are typed and data directories lie.
struct Site {
    redis: RedisServer,
    folder: TempDir,
}

/// Stands in every URL, and nothing may print it.
const PASSWORD: &str = "hunter2";

impl Site {
    fn new() -> Self {
        Self {
            redis: RedisServer::start(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// With a password, which a user without one takes, too.
    fn url(&self) -> String {
        let login = format!("://default:{PASSWORD}@");
        self.redis.url().replace("://", &login)
    }

    async fn run(&self, words: &[&str]) -> Ran {
        let mut command = muster(self.folder.path(), words);
        let output = within("the command's end", command.output()).await.unwrap();
        let ran = Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        };
        let told = format!("{}{}", ran.out, ran.err);
        assert!(!told.contains(PASSWORD), "{told}");
        ran
    }

    /// On the Redis, with the CA of all.
    fn launch(&self, name: &str) -> Launched {
        let (url, ca) = (self.url(), self.dir("ca"));
        let ca = ca.to_str().unwrap();
        self.launch_with(name, &["--store", &url, "--ca-dir", ca])
    }

    fn launch_with(&self, name: &str, flags: &[&str]) -> Launched {
        let flags = [&["--gateway-name", name], flags].concat();
        Process::launch(&self.dir(name), &flags)
    }

    async fn raw(&self, words: &[&str]) -> redis::Value {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let mut raw = self.redis.raw().await;
        command.query_async(&mut raw).await.unwrap()
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_gateway_with_an_issued_certificate_serves_the_agents_of_the_others() {
    let site = Site::new();
    let first = site
        .launch_with("one", &["--store", &site.url()])
        .ready()
        .await;
    let issue = [
        "ca",
        "issue",
        "--name",
        "gw2.example.com",
        "--data-dir",
        "one",
    ];
    let issue = [&issue[..], &["--ip", "192.0.2.7", "--out", "leaf"]].concat();
    let told = site.run(&issue).await;
    for words in ["gw2.example.com", "192.0.2.7", "--tls-key leaf/server.key"] {
        assert!(told.ok().contains(words), "{}", told.out);
    }
    site.run(&issue).await.refused(1, &["exists", "--force"]);
    let again = [&issue[..], &["--force", "-o", "json"]].concat();
    let issued = site.run(&again).await.json();
    assert_eq!(issued["cert"], "leaf/server.pem");

    let (cert, key) = (
        text(&site.dir("leaf/server.pem")),
        text(&site.dir("leaf/server.key")),
    );
    let flags = [
        "--store",
        &site.url(),
        "--tls-cert",
        &cert,
        "--tls-key",
        &key,
    ];
    let second = site.launch_with("two", &flags).ready().await;
    let (_, secret) = first.operator().await.key("k").await;
    let agent = second.agent_trusting(&first.file("ca.pem"), &secret).await;
    agent.connect().await;
    let log = second.stop(PATIENCE).await;
    assert!(!log.contains("ends soon"), "{log}");

    let nowhere = [
        "ca",
        "issue",
        "--name",
        "x",
        "--out",
        "y",
        "--data-dir",
        "z",
    ];
    site.run(&nowhere).await.refused(1, &["z: there is no CA"]);
    let nameless = ["ca", "issue", "--name", "gateway two", "--out", "y"];
    site.run(&nameless).await.refused(2, &["--host or --ip"]);
}
