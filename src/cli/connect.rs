//! Finding the gateway and talking to its admin API.
//!
//! Owns: where address, token and CA come from, deadlines, what a failed call
//! is told as. Must not know: what the commands do. Invariant: the token leaves
//! this process over verified TLS alone, and is never printed.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use http::Uri;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use super::error::{CliError, with_causes};
use super::output::clean;
use crate::keys::{PresentedToken, bare};
use crate::net::certs::ca_pem;
use crate::proto::admin::v1::agent_service_client::AgentServiceClient;
use crate::proto::admin::v1::audit_service_client::AuditServiceClient;
use crate::proto::admin::v1::event_service_client::EventServiceClient;
use crate::proto::admin::v1::gateway_service_client::GatewayServiceClient;
use crate::proto::admin::v1::key_service_client::KeyServiceClient;
use crate::proto::admin::v1::rejection_service_client::RejectionServiceClient;
use crate::proto::admin::v1::session_service_client::SessionServiceClient;
use crate::proto::admin::v1::settings_service_client::SettingsServiceClient;
use crate::proto::admin::v1::token_service_client::TokenServiceClient;

/// Where `serve` puts its data by default.
pub(super) const DEFAULT_DATA_DIR: &str = "./muster-data";
const CONNECT_DEADLINE: Duration = Duration::from_secs(10);
/// Longer than the longest `revoke-wait`, 30 s: the gateway's answer to a
/// revoke that isn't complete is worth waiting for.
const CALL_DEADLINE: Duration = Duration::from_secs(60);

/// How the admin commands find the gateway.
#[derive(Debug, Clone, Default, Args)]
#[group(skip)]
#[command(next_help_heading = "Which gateway")]
pub(super) struct ConnectArgs {
    /// The gateway's data directory, where address, token and CA are [default: ./muster-data]
    #[arg(
        long,
        global = true,
        env = "MUSTER_DATA_DIR",
        hide_env_values = true,
        value_name = "DIR"
    )]
    pub data_dir: Option<PathBuf>,
    /// The gateway's admin listener, for example https://127.0.0.1:7444
    #[arg(
        long,
        global = true,
        env = "MUSTER_ADMIN_URL",
        hide_env_values = true,
        value_name = "URL"
    )]
    pub admin_url: Option<String>,
    /// A file with the admin token
    #[arg(
        long,
        global = true,
        env = "MUSTER_TOKEN_FILE",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub token_file: Option<PathBuf>,
    /// The CA that issued the gateway's certificate (PEM)
    #[arg(
        long,
        global = true,
        env = "MUSTER_CA",
        hide_env_values = true,
        value_name = "FILE"
    )]
    pub ca: Option<PathBuf>,
}

/// A gateway, found but not yet called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub url: String,
    pub token_file: PathBuf,
    pub ca: PathBuf,
}

impl ConnectArgs {
    /// The data directory: the one named, else the default.
    pub fn dir(&self) -> &Path {
        self.data_dir
            .as_deref()
            .unwrap_or_else(|| Path::new(DEFAULT_DATA_DIR))
    }

    /// Address, token and CA: each where it is named, else from the data
    /// directory.
    pub fn target(&self) -> Result<Target, CliError> {
        let dir = self.dir();
        let there = |name: &str| {
            let path = dir.join(name);
            path.exists().then_some(path)
        };
        let url = match (&self.admin_url, there("admin.url")) {
            (Some(url), _) => Some(url.clone()),
            (None, Some(file)) => Some(read(&file, "the gateway's address")?),
            (None, None) => None,
        };
        let token_file = self.token_file.clone().or_else(|| there("admin.token"));
        let ca = self.ca.clone().or_else(|| there("ca.pem"));
        match (url, token_file, ca) {
            (Some(url), Some(token_file), Some(ca)) => Ok(Target {
                url: https(url.trim())?,
                token_file,
                ca,
            }),
            (url, token_file, ca) => {
                let missing: Vec<&str> = [
                    (url.is_none(), "the address (admin.url)"),
                    (token_file.is_none(), "the token (admin.token)"),
                    (ca.is_none(), "the CA (ca.pem)"),
                ]
                .into_iter()
                .filter_map(|(gone, name)| gone.then_some(name))
                .collect();
                Err(CliError::Usage(format!(
                    "which gateway? {} lacks {}. One of these will do:\n  \
                     - run this where `muster serve` was started, or name its data directory: \
                     --data-dir DIR\n  \
                     - name all three: --admin-url URL --token-file FILE --ca FILE\n  \
                     - or in the environment: MUSTER_ADMIN_URL, MUSTER_TOKEN_FILE and MUSTER_CA \
                     (or MUSTER_DATA_DIR)",
                    dir.display(),
                    missing.join(", "),
                )))
            }
        }
    }

    /// Finds the gateway and connects to it.
    pub async fn connect(&self) -> Result<Client, CliError> {
        let target = self.target()?;
        let token = Bearer::read(&target.token_file)?;
        let ca = read_ca_file(&target.ca)?;
        let wrong = |error: tonic::transport::Error| {
            CliError::Usage(format!(
                "can't use the gateway's address {} with the CA {}: {}",
                clean(&target.url),
                target.ca.display(),
                with_causes(&error)
            ))
        };
        let endpoint = Endpoint::from_shared(target.url.clone())
            .map_err(wrong)?
            .tls_config(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)))
            .map_err(wrong)?
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(CALL_DEADLINE);
        let channel = tokio::time::timeout(CONNECT_DEADLINE, endpoint.connect())
            .await
            .map_err(|_| target.unreachable("no answer within 10 s"))?
            .map_err(|error| target.unreachable(&with_causes(&error)))?;
        Ok(Client {
            agents: AgentServiceClient::with_interceptor(channel.clone(), token.clone()),
            audit: AuditServiceClient::with_interceptor(channel.clone(), token.clone()),
            events: EventServiceClient::with_interceptor(channel.clone(), token.clone()),
            keys: KeyServiceClient::with_interceptor(channel.clone(), token.clone()),
            sessions: SessionServiceClient::with_interceptor(channel.clone(), token.clone()),
            gateways: GatewayServiceClient::with_interceptor(channel.clone(), token.clone()),
            settings: SettingsServiceClient::with_interceptor(channel.clone(), token.clone()),
            tokens: TokenServiceClient::with_interceptor(channel.clone(), token.clone()),
            rejections: RejectionServiceClient::with_interceptor(channel, token),
            target,
        })
    }
}

/// The token must not travel in the clear, so anything but https is refused.
fn https(url: &str) -> Result<String, CliError> {
    let full = if url.contains("://") {
        url.to_owned()
    } else {
        format!("https://{url}")
    };
    // A token or a password in it would be printed with every error.
    if ["mat_", "dpk_", "@"].iter().any(|part| url.contains(part)) {
        let told = "the address of an admin listener has no token, user or password in it: \
                    expected https://HOST:PORT; the token is read from --token-file";
        return Err(CliError::Usage(told.to_owned()));
    }
    match full.parse::<Uri>() {
        Ok(uri) if uri.scheme_str() == Some("https") && uri.authority().is_some() => Ok(full),
        _ => Err(CliError::Usage(format!(
            "{:?} is not the address of an admin listener: expected https://HOST:PORT",
            clean(url)
        ))),
    }
}

/// The CAs of a file, as PEM that every parser reads.
pub(super) fn read_ca_file(path: &Path) -> Result<Vec<u8>, CliError> {
    let shown = clean(&path.display().to_string());
    if shown.contains("-----BEGIN") {
        let told = "--ca (or MUSTER_CA) takes the path of a PEM file, not its text";
        return Err(CliError::Usage(told.to_owned()));
    }
    let text = fs::read(path)
        .map_err(|error| CliError::Usage(format!("can't read the CA {shown}: {error}")))?;
    ca_pem(&text).map_err(|problem| {
        let cure = problem.cure("give the ca.pem of the gateway's data directory");
        CliError::Usage(format!("the CA {shown} {problem}: {cure}"))
    })
}

fn read(path: &Path, what: &str) -> Result<String, CliError> {
    // A token that was given in place of the file is not printed again.
    if ["mat_", "dpk_", "Bearer"].iter().any(|kind| {
        path.to_str()
            .is_some_and(|text| text.trim_start().starts_with(kind))
    }) {
        return Err(CliError::Usage(
            "--token-file (or MUSTER_TOKEN_FILE) takes the path of a file that holds the token, \
             not the token itself"
                .to_owned(),
        ));
    }
    let shown = clean(&path.display().to_string());
    fs::read_to_string(path)
        .map_err(|error| CliError::Usage(format!("can't read {what} from {shown}: {error}")))
}

/// Puts the admin token on every call. Has no `Debug`.
#[derive(Clone)]
pub(super) struct Bearer(MetadataValue<Ascii>);

impl Bearer {
    fn read(file: &Path) -> Result<Self, CliError> {
        let text = read(file, "the admin token")?;
        let text = text.trim();
        let not_one = || {
            let seen = if text.is_empty() {
                "it is empty"
            } else if text.starts_with("dpk_") {
                "it holds a data plane key, which is for agents"
            } else {
                "it does not look like one, or it is damaged"
            };
            CliError::Usage(format!(
                "{} holds no admin token (mat_…): {seen}",
                file.display()
            ))
        };
        PresentedToken::parse(text.as_bytes()).map_err(|_| not_one())?;
        // The file may say `Bearer` itself; a second one is refused.
        let value = [b"Bearer ", bare(text.as_bytes())].concat();
        let mut value = MetadataValue::try_from(value).map_err(|_| not_one())?;
        value.set_sensitive(true);
        Ok(Self(value))
    }
}

impl Interceptor for Bearer {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request
            .metadata_mut()
            .insert("authorization", self.0.clone());
        Ok(request)
    }
}

type Link = InterceptedService<Channel, Bearer>;

/// The admin API of keys.
pub(super) type Keys = KeyServiceClient<Link>;

/// The admin API of one gateway.
pub(super) struct Client {
    pub agents: AgentServiceClient<Link>,
    pub audit: AuditServiceClient<Link>,
    pub events: EventServiceClient<Link>,
    pub keys: Keys,
    pub sessions: SessionServiceClient<Link>,
    pub gateways: GatewayServiceClient<Link>,
    pub settings: SettingsServiceClient<Link>,
    pub tokens: TokenServiceClient<Link>,
    pub rejections: RejectionServiceClient<Link>,
    target: Target,
}

impl Client {
    /// Where the gateway is.
    pub fn url(&self) -> &str {
        &self.target.url
    }

    /// A refused or failed call in words: the gateway's own, and what to do
    /// next.
    pub fn refusal(&self, status: &Status) -> CliError {
        CliError::Refused(self.target.explain(status))
    }
}

impl Target {
    fn unreachable(&self, why: &str) -> CliError {
        let next = if why.contains("invalid peer certificate") {
            format!(
                "its certificate was not issued by the CA in {}, or not for this name: use the \
                 ca.pem of that gateway's data directory and a name or address of its host",
                self.ca.display()
            )
        } else {
            "is `muster serve` running there?".to_owned()
        };
        CliError::Refused(format!(
            "can't reach the gateway at {}: {}\n  {next}",
            clean(&self.url),
            clean(why)
        ))
    }

    fn explain(&self, status: &Status) -> String {
        let message = match clean(status.message()) {
            empty if empty.is_empty() => status.code().description().to_owned(),
            message => message,
        };
        let next = match status.code() {
            Code::Unavailable => format!(
                "is `muster serve` running well at {}? Its log says more",
                clean(&self.url)
            ),
            Code::Unauthenticated => format!(
                "the gateway at {} did not accept the token in {}",
                clean(&self.url),
                self.token_file.display()
            ),
            Code::NotFound => {
                "`muster keys list`, `muster sessions list` and `muster tokens list` show what \
                 there is"
                    .to_owned()
            }
            Code::Cancelled | Code::DeadlineExceeded => {
                "the outcome is unknown: look before you do it again".to_owned()
            }
            Code::Unimplemented => format!(
                "is {} the admin listener, and as new as this program ({})?",
                clean(&self.url),
                env!("CARGO_PKG_VERSION")
            ),
            Code::Internal | Code::Unknown | Code::DataLoss => {
                "the gateway's log says more".to_owned()
            }
            _ => return message,
        };
        format!("{message}\n  {next}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Kind, mint};

    fn usage(error: CliError) -> String {
        assert_eq!(error.exit_code(), 2);
        error.to_string()
    }

    #[test]
    fn nothing_to_go_by_names_all_three_ways() {
        let dir = tempfile::tempdir().unwrap();
        let args = ConnectArgs {
            data_dir: Some(dir.path().to_owned()),
            ..ConnectArgs::default()
        };
        let told = usage(args.target().unwrap_err());
        for way in [
            "--data-dir",
            "--admin-url URL --token-file FILE --ca FILE",
            "MUSTER_ADMIN_URL, MUSTER_TOKEN_FILE and MUSTER_CA",
        ] {
            assert!(told.contains(way), "{told}");
        }
    }

    #[test]
    fn what_is_named_wins_over_the_data_directory() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("admin.url", "https://127.0.0.1:7444\n"),
            ("admin.token", "t"),
            ("ca.pem", "c"),
        ] {
            fs::write(dir.path().join(name), text).unwrap();
        }
        let mut args = ConnectArgs {
            data_dir: Some(dir.path().to_owned()),
            ..ConnectArgs::default()
        };
        assert_eq!(
            args.target().unwrap(),
            Target {
                url: "https://127.0.0.1:7444".to_owned(),
                token_file: dir.path().join("admin.token"),
                ca: dir.path().join("ca.pem"),
            }
        );
        args.admin_url = Some("muster.example.com:1".to_owned());
        args.ca = Some("other.pem".into());
        let target = args.target().unwrap();
        assert_eq!(target.url, "https://muster.example.com:1");
        assert_eq!(target.ca, Path::new("other.pem"));
        assert_eq!(target.token_file, dir.path().join("admin.token"));
        args.admin_url = Some("http://127.0.0.1:7444".to_owned());
        assert!(usage(args.target().unwrap_err()).contains("expected https://HOST:PORT"));
    }

    #[test]
    fn a_token_is_checked_and_never_echoed() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("t");
        let token = mint(Kind::AdminToken).unwrap();
        fs::write(&file, format!("{}\n", token.expose())).unwrap();
        let bearer = Bearer::read(&file).unwrap_or_else(|e| panic!("{e}"));
        assert!(!format!("{:?}", bearer.0).contains(&token.expose()[21..]));

        let told = |text: &str| {
            fs::write(&file, text).unwrap();
            Bearer::read(&file).err().map(usage).unwrap()
        };
        let cut = &token.expose()[..60];
        assert!(told(cut).contains("damaged") && !told(cut).contains(cut));
        assert!(told("").contains("empty"));
        assert!(told("dpk_x").contains("for agents"));
        let pasted = Bearer::read(Path::new(token.expose()))
            .err()
            .map(usage)
            .unwrap();
        assert!(pasted.contains("not the token itself"));
        assert!(!pasted.contains(token.expose()));
    }

    #[test]
    fn refusals_say_what_to_do_next() {
        let target = Target {
            url: "https://127.0.0.1:7444".to_owned(),
            token_file: "t/admin.token".into(),
            ca: "t/ca.pem".into(),
        };
        for (status, told) in [
            (
                Status::unavailable("the store is busy"),
                "the store is busy\n  is `muster serve` running well at https://127.0.0.1:7444? Its log says more",
            ),
            (
                Status::unauthenticated("no"),
                "no\n  the gateway at https://127.0.0.1:7444 did not accept the token in t/admin.token",
            ),
            (
                Status::invalid_argument("name: \u{1b}[2J"),
                "name: \\u{1b}[2J",
            ),
        ] {
            assert_eq!(target.explain(&status), told);
        }
        let tls = target.unreachable("transport error: invalid peer certificate: UnknownIssuer");
        assert!(tls.to_string().contains("the CA in t/ca.pem"));
    }
}
