//! The binary as an operator uses it, against a gateway that is a process, too.

mod admin;
mod agent_config;
mod hostile;
mod secret_files;
mod serve;
mod tokens;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::{Process, within};

/// What became of a command.
pub struct Done {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

impl Done {
    /// It succeeded; its stdout.
    pub fn ok(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}{}", self.out, self.err);
        &self.out
    }

    fn json(&self) -> Value {
        let text = self.ok();
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// It did not: nothing on stdout, this exit code, these words on stderr.
    fn refused(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{}{}", self.out, self.err);
        assert_eq!(self.out, "");
        for word in words {
            assert!(self.err.contains(word), "{word} in: {}", self.err);
        }
    }
}

/// A command of the binary in a directory of its own with no terminal, and with
/// nothing of the test's own environment that could steer it.
pub fn muster(dir: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MUSTER_") {
            command.env_remove(name);
        }
    }
    command
        .args(words)
        .current_dir(dir)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    command
}

/// What a command on the gateway of a data directory says, and its exit code.
pub async fn operate(data_dir: &Path, words: &[&str]) -> (Option<i32>, String) {
    let done = done(muster(data_dir, &[words, &["--data-dir", "."]].concat())).await;
    (done.code, [done.out, done.err].concat())
}

pub async fn done(mut command: Command) -> Done {
    let output = within("the command's end", command.output()).await.unwrap();
    Done {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A gateway, and an operator who is where it was started: its data directory
/// is `./muster-data`.
struct Site {
    dir: TempDir,
    gateway: Process,
}

impl Site {
    async fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let gateway = Process::start(&dir.path().join("muster-data"), &[]).await;
        Self { dir, gateway }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    async fn run(&self, words: &[&str]) -> Done {
        done(muster(self.dir.path(), words)).await
    }

    /// A new key: its id and its secret.
    async fn key(&self, name: &str) -> (String, String) {
        let made = self
            .run(&["keys", "create", name, "-o", "json"])
            .await
            .json();
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        (text("object_id"), text("key"))
    }

    async fn keys(&self) -> Vec<Value> {
        let listed = self.run(&["keys", "list", "-o", "json"]).await.json();
        listed.as_array().unwrap().clone()
    }
}

/// The names in a list.
fn names(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().unwrap().iter();
    let mut names: Vec<&str> = rows.map(|row| row["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    names
}

fn fields(row: &Value) -> Vec<&str> {
    let mut fields: Vec<&str> = row
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    fields.sort_unstable();
    fields
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}
