//! Debian's nginx as a daemon, for the agent to find.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::process::Command;

use super::{free_port, within};

/// With `stub_status`.
pub struct Nginx {
    pub program: &'static str,
    pub port: u16,
    pid_file: PathBuf,
}

impl Nginx {
    pub async fn start(dir: &Path) -> Self {
        fs::create_dir(dir).unwrap();
        let port = free_port();
        let at = dir.display();
        let config = dir.join("nginx.conf");
        fs::write(
            &config,
            format!(
                "pid {at}/nginx.pid;\nerror_log {at}/error.log;\nworker_processes 1;\n\
                 events {{}}\n\
                 http {{\n  access_log {at}/access.log;\n  \
                 client_body_temp_path {at}/body;\n  proxy_temp_path {at}/proxy;\n  \
                 fastcgi_temp_path {at}/fastcgi;\n  uwsgi_temp_path {at}/uwsgi;\n  \
                 scgi_temp_path {at}/scgi;\n  \
                 server {{\n    listen 127.0.0.1:{port};\n    \
                 location = /status {{ stub_status; }}\n  }}\n}}\n"
            ),
        )
        .unwrap();
        let mut started = Err(ErrorKind::NotFound.into());
        let mut found = "nginx";
        // Debian's own place is not in everybody's PATH.
        for program in ["nginx", "/usr/sbin/nginx"] {
            let nginx = Command::new(program)
                .arg("-p")
                .arg(dir)
                .arg("-c")
                .arg(&config)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(File::create(dir.join("stderr")).unwrap())
                .status();
            started = within("the start of nginx", nginx).await;
            if !matches!(&started, Err(error) if error.kind() == ErrorKind::NotFound) {
                found = program;
                break;
            }
        }
        let status = started.expect("nginx can't be started; Debian's package is `nginx`");
        let said = fs::read_to_string(dir.join("stderr")).unwrap();
        assert!(status.success(), "nginx did not start: {said}");
        Self {
            program: found,
            port,
            pid_file: dir.join("nginx.pid"),
        }
    }

    /// It writes this file before it leaves the terminal, and removes it last.
    pub fn runs(&self) -> bool {
        self.pid_file.exists()
    }

    pub fn stop(&self) {
        let Ok(pid) = fs::read_to_string(&self.pid_file) else {
            return;
        };
        let _ = std::process::Command::new("kill")
            .args(["-TERM", pid.trim()])
            .status();
        // Nothing holds it: a bound for a busy machine.
        let begun = Instant::now();
        while self.runs() && begun.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.stop();
    }
}
