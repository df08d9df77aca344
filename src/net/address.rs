//! The address that agents dial: a host name or an IP address, and a port.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// The text is not an address that agents could dial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {}", AgentAddress::EXPECTED)]
pub struct ParseAddressError;

/// Where agents dial: a host name or an IP address, and a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentAddress {
    /// A host name, or an IP address without brackets.
    pub host: String,
    pub port: u16,
}

impl AgentAddress {
    /// What a value has to look like.
    pub const EXPECTED: &str = "a host name or IP address and a port, for example \
                            muster.example.com:7443, 192.0.2.7:7443 or [2001:db8::7]:7443";

    /// The agents' way to a listener bound to `address`.
    pub fn from_bound(address: SocketAddr) -> Self {
        Self {
            host: address.ip().to_string(),
            port: address.port(),
        }
    }

    /// Only this host itself can dial it.
    pub fn is_loopback(&self) -> bool {
        match self.host.parse::<std::net::IpAddr>() {
            Ok(ip) => ip.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }
}

impl FromStr for AgentAddress {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Self, ParseAddressError> {
        let wrong = ParseAddressError;
        let (host, port) = text.rsplit_once(':').ok_or(wrong)?;
        let port = match port.parse() {
            Ok(port @ 1..) => port,
            _ => return Err(wrong),
        };
        let host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(v6) if v6.parse::<std::net::Ipv6Addr>().is_ok() => v6,
            None if is_host_name(host) => host,
            _ => return Err(wrong),
        };
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }
}

impl fmt::Display for AgentAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Letters, digits, dots and hyphens (RFC 1123), an IPv4 address among them.
fn is_host_name(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agent_addresses_are_hosts_with_a_port() {
        for (text, host, port) in [
            ("muster.example.com:7443", "muster.example.com", 7443),
            ("192.0.2.7:1", "192.0.2.7", 1),
            ("[2001:db8::7]:65535", "2001:db8::7", 65535),
            ("my_host:7443", "my_host", 7443),
        ] {
            let address: AgentAddress = text.parse().unwrap();
            assert_eq!((address.host.as_str(), address.port), (host, port));
            assert_eq!(address.to_string(), text);
        }
        for wrong in [
            "",
            "host",
            "host:",
            "host:0",
            "host:65536",
            ":7443",
            "2001:db8::7:7443",
            "[::1",
            "[host]:7443",
            "a b:7443",
            "https://host:7443",
            "-a:7443",
            "a..b:7443",
        ] {
            assert!(wrong.parse::<AgentAddress>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn loopback_is_recognised() {
        for (text, loopback) in [
            ("127.0.0.1:7443", true),
            ("127.8.0.1:7443", true),
            ("[::1]:7443", true),
            ("localhost:7443", true),
            ("0.0.0.0:7443", false),
            ("muster.example.com:7443", false),
        ] {
            let address: AgentAddress = text.parse().unwrap();
            assert_eq!(address.is_loopback(), loopback, "{text}");
        }
    }
}
