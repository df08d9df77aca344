//! Kinds of findings: the words for each, and what to do.

/// What is inconsistent; the worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// The feed says that a key has ended, its record does not.
    RevokeLost,
    /// A record says that its key has ended, the feed does not.
    EndUntold,
    /// A row can't be read.
    Damaged,
    /// Nobody can administer the store.
    NoAdminToken,
    /// A record is not what its last change made of it.
    Differs,
    /// The list of keys and the records do not agree.
    List,
    /// A revision above the store's counter.
    Revision,
    /// The feed has a hole, or an entry that is not its revision's.
    Feed,
    /// Rows that belong together do not agree.
    Index,
    /// Something of a key that does not exist.
    Orphan,
    /// A name that is none of muster's.
    Unknown,
}

impl Kind {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RevokeLost => "REVOKE_LOST",
            Self::EndUntold => "END_UNTOLD",
            Self::Damaged => "DAMAGED",
            Self::NoAdminToken => "NO_ADMIN_TOKEN",
            Self::Differs => "DIFFERS",
            Self::List => "LIST",
            Self::Revision => "REVISION",
            Self::Feed => "FEED",
            Self::Index => "INDEX",
            Self::Orphan => "ORPHAN",
            Self::Unknown => "UNKNOWN",
        }
    }

    pub fn meaning(self) -> &'static str {
        match self {
            Self::RevokeLost => {
                "The feed says that the key was revoked or deleted, its record does not: a \
                 gateway that starts would let it in."
            }
            Self::EndUntold => {
                "A key's record says that it was revoked, the feed of changes does not: gateways \
                 may not have heard of it, and keep its sessions."
            }
            Self::Damaged => {
                "It can't be read: a damaged key is answered UNAVAILABLE, a damaged token opens \
                 nothing."
            }
            Self::NoAdminToken => "No admin token is valid: nobody can administer this store.",
            Self::Differs => "A record is not what its last change made of it.",
            Self::List => {
                "The list of keys and the records do not agree: lists show too little, or what \
                 is not there."
            }
            Self::Revision => {
                "A revision is above the store's counter: gateways would not follow the changes \
                 to come."
            }
            Self::Feed => {
                "The feed has a hole, or an entry that is not its revision's: a gateway may have \
                 missed a change."
            }
            Self::Index => "Rows that belong together do not agree: lists may show too little.",
            Self::Orphan => "It belongs to a key that does not exist.",
            Self::Unknown => "A name that is none of this muster's.",
        }
    }

    pub fn cure(self) -> &'static str {
        match self {
            Self::RevokeLost => "Revoke it again: muster keys revoke KEY.",
            Self::EndUntold => {
                "Revoke it again, which writes the missing change: muster keys revoke KEY."
            }
            Self::Damaged => {
                "Restore the store from a backup; agents, registrations and events need none, \
                 agents report again."
            }
            Self::NoAdminToken => {
                "Move admin.token out of the data directory of a gateway, if it is there, and \
                 start that gateway again: it makes a new one."
            }
            Self::Differs => {
                "Edit the key, which writes its record anew: muster keys edit KEY --name NAME."
            }
            Self::List => {
                "An edit puts a key that the list lacks into it again: muster keys edit KEY \
                 --name NAME. For the rest restore the store from a backup."
            }
            Self::Revision => {
                "Restore the store from a backup. On Redis, a gateway that saw that revision \
                 begins a new history by itself."
            }
            Self::Feed => {
                "Restart the gateways one after the other: each reads anew what it knows."
            }
            Self::Index => "An agent's rows are written anew when it joins again.",
            Self::Orphan => "It does no harm, and goes when its agent is forgotten.",
            Self::Unknown => {
                "If neither a newer muster nor anything else uses it, remove it; else give \
                 muster a --redis-prefix of its own."
            }
        }
    }
}
