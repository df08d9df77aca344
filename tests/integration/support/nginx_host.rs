//! A host with NGINX and the real NGINX Agent on it, all in one directory.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use uuid::Uuid;

use super::nginx::Nginx;
use super::{free_port, within};

/// The variable with the agent's path.
const VARIABLE: &str = "NGINX_AGENT_BIN";
/// What the agent would read before anything of the test's.
const SYSTEM_CONFIG: &str = "/etc/nginx-agent/nginx-agent.conf";

/// The agent's path; without it, says that `test` was left out.
pub fn agent_binary(test: &str) -> Option<PathBuf> {
    let path = std::env::var_os(VARIABLE).filter(|path| !path.is_empty());
    if path.is_none() {
        // Not by a macro: the output of a test that passes is not shown.
        let _ = writeln!(
            std::io::stderr(),
            "LEFT OUT: {test}: set {VARIABLE} to the path of an NGINX Agent v3 to run it"
        );
    }
    path.map(PathBuf::from)
}

pub struct NginxHost {
    binary: PathBuf,
    agent: Child,
    nginx: Nginx,
    metadata_address: String,
    metadata: JoinHandle<()>,
    /// Last: a test that fails drops these in order, and NGINX is stopped by
    /// its pid file in here.
    dir: TempDir,
}

impl NginxHost {
    /// Starts NGINX, then the agent with `key` in its key file and with what
    /// `muster agent-config` prints for the gateway in `data_dir`.
    pub async fn start(binary: &Path, data_dir: &Path, key: &str) -> Self {
        let ca = fs::read_to_string(data_dir.join("ca.pem")).unwrap();
        Self::start_trusting(binary, data_dir, key, &ca).await
    }

    /// The same with this CA (PEM) on the host.
    pub async fn start_trusting(binary: &Path, data_dir: &Path, key: &str, ca: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let nginx = Nginx::start(&dir.path().join("nginx")).await;
        let (metadata_address, metadata) = serve_metadata().await;
        let home = dir.path().join("agent");
        fs::create_dir(&home).unwrap();
        fs::write(home.join("key"), key).unwrap();
        fs::write(home.join("ca.pem"), ca).unwrap();
        let printed = connecting_block(&home.join("key"), data_dir).await;
        // Copied to the host, as the README has it.
        let theirs = fs::canonicalize(data_dir).unwrap().join("ca.pem");
        let block = printed.replace(
            theirs.to_str().unwrap(),
            home.join("ca.pem").to_str().unwrap(),
        );
        assert_ne!(block, printed, "no CA in it");
        fs::write(
            home.join("nginx-agent.conf"),
            block + settings(dir.path(), &home).as_str(),
        )
        .unwrap();
        let agent = spawn(binary, &home, &metadata_address);
        Self {
            binary: binary.to_owned(),
            dir,
            agent,
            nginx,
            metadata_address,
            metadata,
        }
    }

    /// `systemctl restart nginx-agent`; its log goes on.
    pub async fn restart_agent(&mut self) {
        self.kill_agent().await;
        let home = self.dir.path().join("agent");
        self.agent = spawn(&self.binary, &home, &self.metadata_address);
    }

    /// Puts another CA (PEM) where the agent's configuration points.
    pub fn set_ca(&self, ca: &str) {
        fs::write(self.dir.path().join("agent/ca.pem"), ca).unwrap();
    }

    /// Where its NGINX answers.
    pub fn nginx_port(&self) -> u16 {
        self.nginx.port
    }

    /// What the agent and its collector have written so far.
    pub fn log(&self) -> String {
        let text = fs::read(self.dir.path().join("agent/out")).unwrap();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Puts another key into the agent's key file.
    pub fn set_key(&self, key: &str) {
        fs::write(self.dir.path().join("agent/key"), key).unwrap();
    }

    /// Waits until `holds`; fails with the agent's log, or when the agent ends.
    /// Returns how long it took.
    pub async fn until<F: Future<Output = bool>>(
        &mut self,
        what: &str,
        bound: Duration,
        mut holds: impl FnMut(String) -> F,
    ) -> Duration {
        let begun = Instant::now();
        while !holds(self.log()).await {
            let ended = self.agent.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < bound,
                "{what}: not within {bound:?} (agent: {ended:?}); its log:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        begun.elapsed()
    }

    /// Where its NGINX is configured.
    pub fn nginx_conf(&self) -> String {
        let path = self.dir.path().join("nginx/nginx.conf");
        path.display().to_string()
    }

    /// NGINX's version, as NGINX tells it.
    pub fn nginx_version(&self) -> String {
        let told = std::process::Command::new(&self.nginx.program)
            .arg("-v")
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&told.stderr).into_owned();
        told.trim().rsplit_once('/').unwrap().1.to_owned()
    }

    /// Stops NGINX alone.
    pub fn stop_nginx(&self) {
        self.nginx.stop();
        assert!(!self.nginx.runs(), "nginx is still there");
    }

    /// Stops the agent alone, as a crash does.
    pub async fn kill_agent(&mut self) {
        self.agent.kill().await.unwrap();
    }

    /// Stops everything, and sees that nothing is left running.
    pub async fn stop(mut self) {
        // Nothing of the gateway depends on how an agent ends.
        self.agent.kill().await.unwrap();
        self.nginx.stop();
        assert!(!self.nginx.runs(), "nginx is still there");
    }
}

impl Drop for NginxHost {
    fn drop(&mut self) {
        self.metadata.abort();
    }
}

fn spawn(binary: &Path, home: &Path, metadata_address: &str) -> Child {
    let log = File::options()
        .append(true)
        .create(true)
        .open(home.join("out"))
        .unwrap();
    command(binary)
        .arg("--lib-dir")
        .arg(home.join("lib"))
        .env(
            "ECS_CONTAINER_METADATA_URI_V4",
            format!("http://{metadata_address}"),
        )
        .current_dir(home)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .kill_on_drop(true)
        .spawn()
        .unwrap_or_else(|error| panic!("can't start {}: {error}", binary.display()))
}

/// The agent looks into /etc first, then where it was started. If there is
/// something in /etc, it gets a view of its own in which there is not: then the
/// test neither depends on that file nor touches it.
fn command(binary: &Path) -> Command {
    if !Path::new(SYSTEM_CONFIG).exists() {
        return Command::new(binary);
    }
    let mut command = Command::new("unshare");
    command.arg("--mount");
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        command.arg("--map-root-user");
    }
    let hide = "mount -t tmpfs none /etc/nginx-agent && exec \"$0\" \"$@\"";
    command.args(["sh", "-c", hide]).arg(binary);
    command
}

/// What `muster agent-config` prints.
async fn connecting_block(key_file: &Path, data_dir: &Path) -> String {
    let printed = Command::new(env!("CARGO_BIN_EXE_muster"))
        .args(["agent-config", "--key-file"])
        .arg(key_file)
        .arg("--data-dir")
        .arg(data_dir)
        .stdin(Stdio::null())
        .output();
    let printed = within("agent-config", printed).await.unwrap();
    assert!(printed.status.success(), "{printed:?}");
    String::from_utf8(printed.stdout).unwrap()
}

/// Everything inside `dir`; telemetry each second or two, not each minute; and
/// the log at `debug`, where the agent writes down each answer.
fn settings(dir: &Path, home: &Path) -> String {
    format!(
        "log:\n  level: debug\n\
         allowed_directories: [{dir}]\n\
         syslog_server:\n  port: \"{syslog}\"\n\
         collector:\n  \
           config_path: {home}/collector.yaml\n  \
           log:\n    level: INFO\n    path: stdout\n  \
           processors:\n    batch:\n      default_metrics:\n        \
             send_batch_size: 1000\n        send_batch_max_size: 1000\n        timeout: 1s\n  \
           receivers:\n    \
             container_metrics:\n      collection_interval: 2s\n    \
             host_metrics:\n      collection_interval: 2s\n      initial_delay: 1s\n      \
               scrapers:\n        cpu: {{}}\n        memory: {{}}\n",
        dir = dir.display(),
        home = home.display(),
        syslog = free_port(),
    )
}

/// The agent calls itself after its container; where it finds no id of one, it
/// refuses its own requests. This is how it is given one, each its own.
async fn serve_metadata() -> (String, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let id = [random(), random()].concat();
    let body = format!("{{\"DockerId\":\"{id}\"}}");
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n{body}",
        body.len()
    );
    let serving = tokio::spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                match socket.read_buf(&mut request).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => break,
                }
            }
            let _ = socket.write_all(answer.as_bytes()).await;
            let _ = socket.shutdown().await;
        }
    });
    (address, serving)
}

fn random() -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).unwrap();
    Uuid::from_bytes(bytes).simple().to_string()
}
