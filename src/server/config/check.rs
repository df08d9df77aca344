//! From settings to a configuration: what no range can say.
//!
//! Must not know: sockets, files. Invariant: a [`Config`] that comes out of
//! here has every value in its range.

mod across;
mod store;

use std::fmt::Display;

use tracing_subscriber::EnvFilter;

use super::error::{ConfigError, Problem};
use super::layers::Layer;
use super::model::{Config, OwnCertificate};
use super::settings::Settings;

/// Checks the settings as a whole. Problems found earlier are reported along.
pub(super) fn check(layer: Layer, problems: Vec<Problem>) -> Result<Config, ConfigError> {
    let settings = layer.settings.clone();
    let mut c = Checker { layer, problems };
    let mut config = Config::default();
    settings.put(&mut config, |setting, why| c.fault(setting, why));
    for (name, path) in [
        ("data-dir", &settings.data_dir),
        ("ca-dir", &settings.ca_dir),
        ("tls-cert", &settings.tls_cert),
        ("tls-key", &settings.tls_key),
        ("redis-password-file", &settings.redis_password_file),
        ("redis-ca-file", &settings.redis_ca_file),
    ] {
        let is_empty = path
            .as_ref()
            .is_some_and(|path| path.as_os_str().is_empty());
        if is_empty {
            c.fault(name, "it is empty; expected a path");
        }
        // As a path it would be quoted, and may be a key.
        let is_pem = path
            .as_ref()
            .is_some_and(|path| path.to_string_lossy().contains("-----BEGIN"));
        if is_pem {
            c.fault(
                name,
                "it holds the text of a PEM file; expected the path of one",
            );
        }
    }
    c.listeners_differ(&config.listen);
    store::check(&settings, &mut config.store, |setting, why| {
        c.fault(setting, why);
    });
    config.staleness.lag = config.store.lag();
    c.bounds_rise(config.timing.feed_interval, &config.staleness);
    config.tls.own = c.own_certificate(&settings);
    config.gateway_name = settings.gateway_name.unwrap_or_else(host_name);
    let chars = config.gateway_name.chars().count();
    if !(1..=128).contains(&chars) || config.gateway_name.chars().any(char::is_control) {
        c.fault(
            "gateway-name",
            "expected 1 to 128 characters without control characters",
        );
    }
    let filter = &config.log.filter;
    if let Err(fault) = check_filter(filter) {
        c.fault(
            "log",
            format!(
                "{filter:?}: {fault}; expected off, error, warn, info, debug or trace, \
                     or a filter such as info,muster=debug"
            ),
        );
    }
    if c.problems.is_empty() {
        Ok(config)
    } else {
        Err(ConfigError {
            problems: c.problems,
        })
    }
}

struct Checker {
    layer: Layer,
    problems: Vec<Problem>,
}

impl Checker {
    fn fault(&mut self, setting: &str, fault: impl Into<String>) {
        self.problems.push(Problem::Value {
            setting: setting.to_owned(),
            origin: self.layer.origin(setting),
            fault: fault.into(),
        });
    }

    fn own_certificate(&mut self, settings: &Settings) -> Option<OwnCertificate> {
        match (settings.tls_cert.clone(), settings.tls_key.clone()) {
            (Some(cert), Some(key)) => return Some(OwnCertificate { cert, key }),
            (None, None) => {}
            (Some(_), None) => self.fault(
                "tls-cert",
                "it needs tls-key, the private key that belongs to it; give both or neither",
            ),
            (None, Some(_)) => self.fault(
                "tls-key",
                "it needs tls-cert, the certificate that belongs to it; give both or neither",
            ),
        }
        None
    }
}

fn host_name() -> String {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    if name.is_empty() {
        "gateway".to_owned()
    } else {
        name
    }
}

/// tracing reads a bare word as a module's name, so that `inof` would switch
/// all logging off without a word; here a bare word must be a level.
fn check_filter(filter: &str) -> Result<(), Box<dyn Display>> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    for part in filter.split(',').map(str::trim) {
        if !part.contains('=') && !LEVELS.contains(&part.to_ascii_lowercase().as_str()) {
            return Err(Box::new(format!("{part:?} is not a level")));
        }
    }
    EnvFilter::try_new(filter)
        .map(drop)
        .map_err(|error| Box::new(error.to_string()) as Box<dyn Display>)
}
