//! The real binary as a child process, for what only a process can show:
//! signals, exit codes, its log, a kill.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use http::HeaderValue;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

use super::{Operator, PATIENCE, TestAgent, within};

pub struct Process {
    child: Child,
    log: JoinHandle<String>,
    dir: std::path::PathBuf,
    agent: String,
    ops: String,
}

/// A process that may be on its way to serve, or to refuse.
pub struct Launched {
    child: Child,
    log: JoinHandle<String>,
    dir: std::path::PathBuf,
}

impl Launched {
    /// Once it says that it is ready.
    pub async fn ready(mut self) -> Process {
        let mut ready = String::new();
        let mut stdout = BufReader::new(self.child.stdout.take().unwrap());
        let read = async {
            while !ready.contains('}') && stdout.read_line(&mut ready).await.unwrap() > 0 {}
        };
        if tokio::time::timeout(PATIENCE, read).await.is_err() {
            self.child.start_kill().unwrap();
            panic!("it did not start in time: {}", self.log.await.unwrap());
        }
        if !ready.contains('}') {
            panic!("it ended before it was ready: {}", self.log.await.unwrap());
        }
        let ready: serde_json::Value = serde_json::from_str(&ready).unwrap();
        Process {
            child: self.child,
            log: self.log,
            dir: self.dir,
            agent: ready["agent"].as_str().unwrap().to_owned(),
            ops: ready["ops"].as_str().unwrap().to_owned(),
        }
    }

    /// SIGTERM, without waiting for what it does.
    pub async fn terminate(&self) {
        terminate(&self.child).await;
    }

    /// Waits for its end: the exit code and its log.
    pub async fn ended(self) -> (Option<i32>, String) {
        ended(self.child, self.log, PATIENCE).await
    }
}

impl Process {
    /// `muster serve` in `dir` on free ports, once it says that it is ready.
    pub async fn start(dir: &Path, flags: &[&str]) -> Self {
        Self::launch(dir, flags).ready().await
    }

    /// The same with the agent listener where agents expect it.
    pub async fn start_at(dir: &Path, agent_listen: &str, flags: &[&str]) -> Self {
        let flags = [&["--agent-listen", agent_listen], flags].concat();
        Self::start(dir, &flags).await
    }

    /// The same, not waited for. The listeners are on free ports but where the
    /// flags say otherwise.
    pub fn launch(dir: &Path, flags: &[&str]) -> Launched {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(["serve", "-o", "json"]);
        // Settings of the tests, which a gateway does not know.
        for name in [
            "MUSTER_SEED",
            "MUSTER_HISTORY_SECONDS",
            "MUSTER_LONG_FAULTS",
        ] {
            command.env_remove(name);
        }
        for listen in ["--agent-listen", "--admin-listen", "--ops-listen"] {
            if !flags.contains(&listen) {
                command.args([listen, "127.0.0.1:0"]);
            }
        }
        let mut child = command
            .args(flags)
            .arg("--data-dir")
            .arg(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut stderr = child.stderr.take().unwrap();
        let log = tokio::spawn(async move {
            let mut text = Vec::new();
            stderr.read_to_end(&mut text).await.unwrap();
            String::from_utf8_lossy(&text).into_owned()
        });
        Launched {
            child,
            log,
            dir: dir.to_owned(),
        }
    }

    pub async fn agent(&self, key: &str) -> TestAgent {
        TestAgent::new(self.agent_channel().await, key)
    }

    /// A connection to the agent listener, for one agent or several.
    pub async fn agent_channel(&self) -> Channel {
        connected(self.endpoint(&self.agent_url())).await
    }

    /// One that calls its software so.
    pub async fn agent_called(&self, user_agent: HeaderValue, key: &str) -> TestAgent {
        let endpoint = self.endpoint(&self.agent_url());
        let endpoint = endpoint.user_agent(user_agent).unwrap();
        TestAgent::new(connected(endpoint).await, key)
    }

    /// One that trusts this CA (PEM) alone.
    pub async fn agent_trusting(&self, ca: &str, key: &str) -> TestAgent {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(ca))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(self.agent_url()).unwrap();
        TestAgent::new(connected(endpoint.tls_config(tls).unwrap()).await, key)
    }

    /// The same, made when it is used, and again when it broke.
    pub fn lasting_agent_channel(&self) -> Channel {
        self.endpoint(&self.agent_url()).connect_lazy()
    }

    /// An operator whose connection is made when it is used, and again when it
    /// broke.
    pub fn lasting_operator(&self, token: &str) -> Operator {
        let url = self.file("admin.url");
        Operator::new(self.endpoint(url.trim()).connect_lazy(), token)
    }

    fn agent_url(&self) -> String {
        let port = self.agent.rsplit_once(':').unwrap().1;
        format!("https://localhost:{port}")
    }

    pub async fn operator(&self) -> Operator {
        self.operator_with(self.token().trim()).await
    }

    /// The admin token: its own, or that of the gateway of the same site that
    /// made it. Their directories lie side by side.
    pub fn token(&self) -> String {
        let siblings = std::fs::read_dir(self.dir.parent().unwrap()).unwrap();
        let siblings = siblings.map(|entry| entry.unwrap().path());
        [self.dir.clone()]
            .into_iter()
            .chain(siblings)
            .find_map(|dir| std::fs::read_to_string(dir.join("admin.token")).ok())
            .expect("an admin token")
    }

    pub async fn operator_with(&self, token: &str) -> Operator {
        let url = self.file("admin.url");
        Operator::new(connected(self.endpoint(url.trim())).await, token)
    }

    pub fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(name)).unwrap()
    }

    fn endpoint(&self, url: &str) -> Endpoint {
        let tls = ClientTlsConfig::new()
            .ca_certificate(Certificate::from_pem(self.file("ca.pem")))
            .domain_name("localhost");
        let endpoint = Endpoint::from_shared(url.to_owned()).unwrap();
        endpoint.tls_config(tls).unwrap()
    }

    /// The answer to a GET on the ops listener.
    pub async fn get(&self, path: &str) -> String {
        let address = self.ops.trim_start_matches("http://");
        get_from_ops(address, path).await.unwrap()
    }

    /// One sample of `/metrics`; 0 when it is not there yet.
    pub async fn metric(&self, sample: &str) -> f64 {
        let text = self.get("/metrics").await;
        text.lines()
            .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '))
            .map_or(0.0, |value| value.parse().unwrap())
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id().expect("it runs")
    }

    /// Its data directory.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Closes the reading end of its standard error.
    pub async fn close_log(&self) {
        self.log.abort();
        while !self.log.is_finished() {
            tokio::task::yield_now().await;
        }
    }

    /// Waits at most `bound` for its end.
    pub async fn exit_code(mut self, bound: Duration) -> Option<i32> {
        let ended = tokio::time::timeout(bound, self.child.wait()).await;
        ended.expect("it did not stop in time").unwrap().code()
    }

    /// The port of its agent listener.
    pub fn agent_port(&self) -> &str {
        self.agent.rsplit(':').next().unwrap()
    }

    /// An agent that dials another address of it.
    pub async fn agent_dialling(&self, url: &str, key: &str) -> TestAgent {
        TestAgent::new(connected(self.endpoint(url)).await, key)
    }

    /// The answer to a GET on the ops listener that names what it accepts.
    pub async fn get_accepting(&self, path: &str, accept: &str) -> String {
        let address = self.ops.trim_start_matches("http://");
        let path = format!("{path} HTTP/1.1\r\nAccept: {accept}\r\nX-Rest: ");
        get_from_ops(address, &path).await.unwrap()
    }

    /// SIGKILL: it has no chance to tidy up.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// SIGTERM, without waiting for what it does.
    pub async fn terminate(&self) {
        terminate(&self.child).await;
    }

    /// SIGHUP: it reads its files again.
    pub async fn hang_up(&self) {
        signal(&self.child, "-HUP").await;
    }

    /// Waits at most `bound` for its end: the exit code and its log.
    pub async fn ended(self, bound: Duration) -> (Option<i32>, String) {
        ended(self.child, self.log, bound).await
    }

    /// SIGTERM; waits at most `bound` for exit 0, and returns its log.
    pub async fn stop(self, bound: Duration) -> String {
        self.terminate().await;
        let (code, log) = self.ended(bound).await;
        assert_eq!(code, Some(0), "{log}");
        log
    }
}

async fn terminate(child: &Child) {
    signal(child, "-TERM").await;
}

async fn signal(child: &Child, signal: &str) {
    let id = child.id().expect("it runs").to_string();
    let kill = Command::new("kill").args([signal, &id]).status();
    assert!(kill.await.unwrap().success());
}

async fn ended(
    mut child: Child,
    log: JoinHandle<String>,
    bound: Duration,
) -> (Option<i32>, String) {
    let status = tokio::time::timeout(bound, child.wait())
        .await
        .expect("it did not stop in time")
        .unwrap();
    (status.code(), log.await.unwrap())
}

/// The answer to a GET on an ops listener, which may not be up yet.
pub async fn get_from_ops(address: &str, path: &str) -> std::io::Result<String> {
    let mut socket = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: ops\r\nConnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await?;
    let mut answer = String::new();
    within("an answer of ops", socket.read_to_string(&mut answer)).await?;
    Ok(answer)
}

async fn connected(endpoint: Endpoint) -> Channel {
    within("a connection", endpoint.connect()).await.unwrap()
}
