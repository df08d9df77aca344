//! The names under which this host may be dialled.
//!
//! Owns: finding and normalising them. Must not know: certificates, files of
//! ours. Invariant: nothing here asks the network; the order is always the
//! same, so that two sets can be compared.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use rustls::pki_types::DnsName;

/// A host may have an address for each container; a certificate has to fit into
/// a handshake.
const MAX_ADDRESSES: usize = 256;

/// A name that a certificate can carry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Name {
    /// A DNS name, in lower case.
    Dns(String),
    Ip(IpAddr),
}

impl Name {
    /// Reads a DNS name or an IP address, the latter with or without brackets.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let bare = text
            .strip_prefix('[')
            .and_then(|text| text.strip_suffix(']'))
            .unwrap_or(text);
        if let Ok(address) = bare.parse::<IpAddr>() {
            return Some(Self::Ip(address.to_canonical()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        DnsName::try_from(name.as_str()).ok()?;
        Some(Self::Dns(name))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => f.write_str(name),
            Self::Ip(address) => address.fmt(f),
        }
    }
}

/// All names of this host: what every host has, what the system says, and what
/// the operator gave.
pub(super) fn of_this_host(given: Option<&Name>, listen: &[IpAddr]) -> BTreeSet<Name> {
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let hosts = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    let mut names: BTreeSet<Name> = ["localhost", "127.0.0.1", "::1"]
        .into_iter()
        .chain(Some(host.as_str()))
        .chain(full_name(&host, &hosts))
        .filter_map(Name::parse)
        .collect();
    // Without them the certificate is less useful, not wrong.
    let interfaces = if_addrs::get_if_addrs().unwrap_or_else(|error| {
        tracing::warn!(%error, "this host's addresses could not be read");
        Vec::new()
    });
    let addresses: BTreeSet<IpAddr> = interfaces
        .iter()
        .map(if_addrs::Interface::ip)
        .filter(|address| can_be_dialled(*address))
        .collect();
    names.extend(addresses.into_iter().take(MAX_ADDRESSES).map(Name::Ip));
    names.extend(
        listen
            .iter()
            .map(IpAddr::to_canonical)
            .filter(|address| can_be_dialled(*address))
            .map(Name::Ip),
    );
    names.extend(given.cloned());
    names
}

/// The first dotted name on a line of `/etc/hosts` that names `host`. The
/// system's resolver would ask DNS, and may hang.
fn full_name<'a>(host: &str, hosts: &'a str) -> Option<&'a str> {
    hosts.lines().find_map(|line| {
        let line = line.split('#').next().unwrap_or_default();
        let names: Vec<&str> = line.split_whitespace().skip(1).collect();
        names
            .iter()
            .any(|name| name.eq_ignore_ascii_case(host))
            .then(|| names.iter().copied().find(|name| name.contains('.')))
            .flatten()
    })
}

/// A link-local IPv6 address works only with the name of an interface.
fn can_be_dialled(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => !v4.is_unspecified(),
        IpAddr::V6(v6) => !v6.is_unspecified() && !v6.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_normalised() {
        for (text, name) in [
            ("Gateway.Example.COM.", "gateway.example.com"),
            (" [2001:DB8::1] ", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("under_score", "under_score"),
        ] {
            assert_eq!(Name::parse(text).unwrap().to_string(), name, "{text}");
        }
        for text in ["", "a b", "-", "gateway:443", "*.example.com", "ä.example"] {
            assert_eq!(Name::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_full_name_comes_from_the_hosts_file() {
        let hosts =
            "127.0.0.1 localhost\n# 1.2.3.4 web.no web\n192.0.2.7 web web.example.com # x\n";
        assert_eq!(full_name("WEB", hosts), Some("web.example.com"));
        assert_eq!(full_name("localhost", hosts), None);
        assert_eq!(full_name("x", hosts), None);
    }

    #[test]
    fn a_host_has_at_least_these() {
        let given = Name::parse("gateway.example.com").unwrap();
        let listen = ["0.0.0.0".parse().unwrap(), "192.0.2.9".parse().unwrap()];
        let names = of_this_host(Some(&given), &listen);
        for text in ["localhost", "127.0.0.1", "::1", "192.0.2.9"] {
            assert!(names.contains(&Name::parse(text).unwrap()), "{text}");
        }
        assert!(names.contains(&given));
        assert!(!names.contains(&Name::Ip(listen[0])));
    }
}
