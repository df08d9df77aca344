//! The reasons of a refusal, and their words for an operator.
//!
//! Invariant: the set is closed, so that it can be a metric's label; lists,
//! events, metrics and `docs/refusals.md` take their words from here, which
//! tests compare.

/// Why a call or a connection of an agent was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// A call without a credential.
    NoKey,
    /// A credential that is no data plane key.
    NotAKey,
    /// A data plane key that is cut off or mistyped.
    DamagedKey,
    /// No such key, or not its secret.
    UnknownKey,
    /// A revoked key.
    KeyRevoked,
    /// An expired key.
    KeyExpired,
    /// Telemetry under another key than the agent's session.
    StaleTelemetryKey,
    /// The key has as many agents as it may.
    TooManyAgents,
    /// The key could not be verified: our fault.
    StoreUnavailable,
    /// The agent's id is missing or wrong.
    BadResourceId,
    /// The gateway stops.
    Draining,
    /// The client refused our certificate.
    TlsCertificateRefused,
    /// The peer does not speak TLS.
    NotTls,
    /// The TLS handshake failed otherwise.
    TlsFailed,
    /// The TLS handshake did not end in time.
    TlsTimeout,
    /// The gateway has as many connections as it may.
    TooManyConnections,
    /// The address has as many connections as it may.
    TooManyConnectionsFromAddress,
}

impl Reason {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 17] = [
        Self::NoKey,
        Self::NotAKey,
        Self::DamagedKey,
        Self::UnknownKey,
        Self::KeyRevoked,
        Self::KeyExpired,
        Self::StaleTelemetryKey,
        Self::TooManyAgents,
        Self::StoreUnavailable,
        Self::BadResourceId,
        Self::Draining,
        Self::TlsCertificateRefused,
        Self::NotTls,
        Self::TlsFailed,
        Self::TlsTimeout,
        Self::TooManyConnections,
        Self::TooManyConnectionsFromAddress,
    ];

    /// The word for it, as lists, metrics and error details carry it.
    pub fn as_str(self) -> &'static str {
        self.words().0
    }

    /// The reason of that word.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == word)
    }

    /// What it means.
    pub fn meaning(self) -> &'static str {
        self.words().1
    }

    /// What to do about it.
    pub fn cure(self) -> &'static str {
        self.words().2
    }

    /// Whether connections are refused for it, before they carry a call:
    /// `muster_connections_refused_total`.
    pub fn ends_connections(self) -> bool {
        match self {
            Self::TlsCertificateRefused
            | Self::NotTls
            | Self::TlsFailed
            | Self::TlsTimeout
            | Self::TooManyConnections
            | Self::TooManyConnectionsFromAddress
            | Self::Draining => true,
            Self::NoKey
            | Self::NotAKey
            | Self::DamagedKey
            | Self::UnknownKey
            | Self::KeyRevoked
            | Self::KeyExpired
            | Self::StaleTelemetryKey
            | Self::TooManyAgents
            | Self::StoreUnavailable
            | Self::BadResourceId => false,
        }
    }

    /// Whether calls are refused for it: `muster_refusals_total`. A gateway that
    /// stops refuses both.
    pub fn ends_calls(self) -> bool {
        !self.ends_connections() || self == Self::Draining
    }

    /// The word, the meaning, the cure.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::NoKey => (
                "NO_KEY",
                "The call carried no data plane key.",
                "Set command.auth.tokenpath (or token) in nginx-agent.conf, then restart \
                 nginx-agent; `muster agent-config` prints the block.",
            ),
            Self::NotAKey => (
                "NOT_A_KEY",
                "What the agent sent as its key is no data plane key (dpk_…); often it is a \
                 key's id (key_…), or a placeholder.",
                "Put what `muster keys create` printed into the agent's key file.",
            ),
            Self::DamagedKey => (
                "DAMAGED_KEY",
                "The data plane key is cut off or mistyped: its checksum does not fit.",
                "Copy the whole key again, 70 characters from dpk_ on; if it is lost, make \
                 another with `muster keys create`.",
            ),
            Self::UnknownKey => (
                "UNKNOWN_KEY",
                "The store has no such key (it was deleted, or is of another muster), or the \
                 secret is not that key's; where a key is shown, it is the latter.",
                "Look in `muster keys list` for the key that is meant, make another with \
                 `muster keys create` and put it into the agent's key file.",
            ),
            Self::KeyRevoked => (
                "KEY_REVOKED",
                "The agent has a revoked key.",
                "A revoke is final: if the agent may come back, make another key with `muster \
                 keys create` and put it into the agent's key file.",
            ),
            Self::KeyExpired => (
                "KEY_EXPIRED",
                "The agent has an expired key.",
                "An expired key can't be extended: make another with `muster keys create` and \
                 put it into the agent's key file.",
            ),
            Self::StaleTelemetryKey => (
                "STALE_TELEMETRY_KEY",
                "The agent is connected under another key, but its telemetry still carries the \
                 old one: its collector reads the key only at its start.",
                "Restart nginx-agent to move its telemetry to the new key.",
            ),
            Self::TooManyAgents => (
                "TOO_MANY_AGENTS",
                "The gateway knows as many agents under the key as it may: an agent whose id \
                 changes with each start, as in a container, counts each time.",
                "Use another key for some of the agents, or raise the gateway's limit (`muster \
                 serve --help`: --max-agents-per-key).",
            ),
            Self::StoreUnavailable => (
                "STORE_UNAVAILABLE",
                "The gateway could not verify the key because its store did not answer, lost \
                 the key, or never had one: not the agent's fault, which tries again by itself.",
                "Look at /readyz and the gateway's log, and bring the store back; where no key \
                 was ever created, create one.",
            ),
            Self::BadResourceId => (
                "BAD_RESOURCE_ID",
                "The agent's resource id is missing, is not a UUID, or differs from its uuid \
                 metadata.",
                "In a container, check that nginx-agent can find its container id; otherwise \
                 check that it is an unmodified NGINX Agent v3. Then restart it.",
            ),
            Self::Draining => (
                "DRAINING",
                "The gateway was stopping: the agent tries again by itself.",
                "Nothing, if the gateway was to stop or restart.",
            ),
            Self::TlsCertificateRefused => (
                "TLS_CERTIFICATE_REFUSED",
                "The client refused our certificate: it does not trust the CA that issued it, \
                 or dialled a name that the certificate does not have.",
                "Copy the gateway's ca.pem (with --tls-cert: the CA of that certificate) to where \
                 command.tls.ca of nginx-agent.conf points; if the name is the fault, start the \
                 gateway with --agent-address NAME:PORT.",
            ),
            Self::NotTls => (
                "NOT_TLS",
                "The peer sent something else than TLS: plain HTTP, a PROXY protocol header, \
                 a scanner's probe.",
                "If it is an agent, give it a command.tls block (`muster agent-config`); if it \
                 is a load balancer, let it pass TCP through without a PROXY header.",
            ),
            Self::TlsFailed => (
                "TLS_FAILED",
                "The TLS handshake failed, or the peer left during it, as probes of a port do.",
                "Nothing for a probe; otherwise the peer must speak TLS 1.2 or 1.3 and offer h2 \
                 (ALPN), and its own log says more.",
            ),
            Self::TlsTimeout => (
                "TLS_TIMEOUT",
                "The TLS handshake did not end in time: the peer is silent or very slow.",
                "Look at the network between the two; what is no agent is best kept away from \
                 the port.",
            ),
            Self::TooManyConnections => (
                "TOO_MANY_CONNECTIONS",
                "The gateway has as many agent connections as it may.",
                "Raise the limit (`muster serve --help`: --max-connections) if the agents are \
                 yours.",
            ),
            Self::TooManyConnectionsFromAddress => (
                "TOO_MANY_CONNECTIONS_FROM_ADDRESS",
                "This address has as many connections as one address may.",
                "Raise the limit (`muster serve --help`: --max-connections-per-address) if many \
                 agents share the address, as behind a NAT or a proxy.",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_are_whole_sentences_and_unlike_each_other() {
        let mut words = BTreeSet::new();
        for reason in Reason::ALL {
            assert!(words.insert(reason.as_str()), "{reason:?}");
            for text in [reason.meaning(), reason.cure()] {
                assert!(text.ends_with('.') && !text.contains("  "), "{text:?}");
            }
        }
    }

    fn counted_by(reason: Reason) -> String {
        let metrics = [
            (reason.ends_calls(), "muster_refusals_total"),
            (
                reason.ends_connections(),
                "muster_connections_refused_total",
            ),
        ];
        let counted = metrics.into_iter().filter(|(counts, _)| *counts);
        let samples =
            counted.map(|(_, name)| format!("`{name}{{reason=\"{}\"}}`", reason.as_str()));
        samples.collect::<Vec<_>>().join(", ")
    }

    /// The page has a section `## WORD` for each reason and no other.
    #[test]
    fn the_page_and_the_code_say_the_same() {
        let page = include_str!("../../../docs/refusals.md");
        let sections: Vec<(&str, &str)> = page
            .split("\n## ")
            .skip(1)
            .filter_map(|section| section.split_once('\n'))
            .collect();
        let titles: Vec<&str> = sections.iter().map(|(title, _)| *title).collect();
        let words: Vec<&str> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(titles, words);
        for (reason, (title, text)) in Reason::ALL.iter().zip(sections) {
            let line = |what: &str| -> Vec<&str> {
                text.lines().filter_map(|l| l.strip_prefix(what)).collect()
            };
            assert_eq!(line("- **It means:** "), [reason.meaning()], "{title}");
            assert_eq!(line("- **What to do:** "), [reason.cure()], "{title}");
            assert_eq!(line("- **The agent's log:** ").len(), 1, "{title}");
            assert_eq!(line("- **Counted by:** "), [counted_by(*reason)], "{title}");
        }
    }
}
