//! Credentials: how a key or an admin token is written, made and recognised.
//!
//! `<prefix>_<id>_<secret><checksum>`: the id 16 and the secret 43 Base62
//! characters (256 bits), the checksum the CRC-32 of all before it as 6 Base62
//! characters. The typed prefix and the checksum let a secret scanner tell a
//! leaked credential from noise offline, and let a gateway refuse a cut-off one
//! without asking the store (GitHub's token format, 2021).

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use super::id::{BASE62, Digest, ID_LEN, Id, KeyId, TokenId, random_base62};

const SECRET_LEN: usize = 43;
const CHECKSUM_LEN: usize = 6;
const PREFIX_LEN: usize = 4;
const BODY_LEN: usize = PREFIX_LEN + ID_LEN + 1 + SECRET_LEN;
const CREDENTIAL_LEN: usize = BODY_LEN + CHECKSUM_LEN;

/// What a credential opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Agents present it: `dpk_…`.
    DataPlaneKey,
    /// Operators present it: `mat_…`.
    AdminToken,
}

impl Kind {
    pub(crate) fn prefix(self) -> &'static str {
        match self {
            Self::DataPlaneKey => "dpk_",
            Self::AdminToken => "mat_",
        }
    }
}

/// Why presented bytes are not a credential. Says nothing that is not known
/// from the format alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// There is nothing.
    #[error("no credential")]
    Missing,
    /// It does not look like one.
    #[error("not a credential")]
    Malformed,
    /// It begins like one, but its length or its checksum is wrong.
    #[error("damaged or cut-off credential")]
    Damaged,
}

/// A data plane key as an agent presents it: its id and the digest of the
/// secret. The secret itself is not kept.
#[derive(Debug, Clone, Copy)]
pub struct PresentedKey {
    /// The id it claims.
    pub id: KeyId,
    /// The digest of the secret it came with.
    pub digest: Digest,
}

/// An admin token as an operator presents it.
#[derive(Debug, Clone, Copy)]
pub struct PresentedToken {
    /// The id it claims.
    pub id: TokenId,
    /// The digest of the secret it came with.
    pub digest: Digest,
}

impl PresentedKey {
    /// Reads a data plane key from the bytes of an `authorization` value.
    /// Quotes, white space and a `Bearer` before the key are tolerated.
    ///
    /// # Errors
    /// [`CredentialError`], decided by the format alone.
    pub fn parse(bytes: &[u8]) -> Result<Self, CredentialError> {
        let (id, digest) = parse(Kind::DataPlaneKey, bytes)?;
        Ok(Self {
            id: KeyId(id),
            digest,
        })
    }
}

impl PresentedToken {
    /// Reads an admin token from the bytes of an `authorization` value, with or
    /// without the `Bearer` before it.
    ///
    /// # Errors
    /// [`CredentialError`], decided by the format alone.
    pub fn parse(bytes: &[u8]) -> Result<Self, CredentialError> {
        let (id, digest) = parse(Kind::AdminToken, bytes)?;
        Ok(Self {
            id: TokenId(id),
            digest,
        })
    }
}

/// A new credential: shown once, then only its digest remains.
pub struct Minted {
    pub id: Id,
    /// What a store keeps.
    pub digest: Digest,
    /// The whole credential, `<prefix>_<id>_<secret><checksum>`.
    pub text: SecretString,
}

impl fmt::Debug for Minted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Minted")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Makes a credential from the operating system's random numbers.
///
/// # Errors
/// When the operating system has no random numbers to give.
pub fn mint(kind: Kind) -> Result<Minted, getrandom::Error> {
    let id = Id::random()?;
    let secret: [u8; SECRET_LEN] = random_base62()?;
    let mut text = String::with_capacity(CREDENTIAL_LEN);
    text.push_str(kind.prefix());
    text.extend(id.as_bytes().iter().map(|&b| char::from(b)));
    text.push('_');
    text.extend(secret.iter().map(|&b| char::from(b)));
    let checksum = checksum(text.as_bytes());
    text.extend(checksum.iter().map(|&b| char::from(b)));
    Ok(Minted {
        id,
        digest: Digest::of(&secret),
        text: SecretString::from(text),
    })
}

impl Minted {
    /// The credential in the clear, for the one time it is shown.
    pub fn expose(&self) -> &str {
        self.text.expose_secret()
    }
}

fn parse(kind: Kind, bytes: &[u8]) -> Result<(Id, Digest), CredentialError> {
    let bare = bare(bytes);
    if bare.is_empty() {
        return Err(CredentialError::Missing);
    }
    let in_alphabet = |b: &u8| b.is_ascii_alphanumeric() || *b == b'_';
    if !bare.starts_with(kind.prefix().as_bytes()) || bare.len() > 2 * CREDENTIAL_LEN {
        return Err(CredentialError::Malformed);
    }
    // It was one: wrapped in the middle, say, or with a comma behind it.
    if !bare.iter().all(in_alphabet) {
        return Err(CredentialError::Damaged);
    }
    let (body, given) = bare
        .split_at_checked(BODY_LEN)
        .ok_or(CredentialError::Damaged)?;
    if given != checksum(body) {
        return Err(CredentialError::Damaged);
    }
    let (id, rest) = body[PREFIX_LEN..].split_at(ID_LEN);
    let secret = rest.strip_prefix(b"_").ok_or(CredentialError::Damaged)?;
    let id = Id::from_bytes(id).ok_or(CredentialError::Damaged)?;
    Ok((id, Digest::of(secret)))
}

/// A credential without the white space, quotes and `Bearer` that people paste
/// along: what both ends take it for.
pub fn bare(bytes: &[u8]) -> &[u8] {
    let trim = |bytes: &'_ [u8]| -> (usize, usize) {
        let noise = |b: &u8| b.is_ascii_whitespace() || matches!(b, b'"' | b'\'');
        let start = bytes.iter().take_while(|b| noise(b)).count();
        let end = bytes.len() - bytes[start..].iter().rev().take_while(|b| noise(b)).count();
        (start, end)
    };
    let (start, end) = trim(bytes);
    let bare = &bytes[start..end];
    match bare.split_at_checked(6) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(b"bearer") => {
            let (start, end) = trim(rest);
            &rest[start..end]
        }
        _ => bare,
    }
}

fn checksum(body: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut rest = crc32fast::hash(body) as usize;
    let mut out = [0; CHECKSUM_LEN];
    for slot in out.iter_mut().rev() {
        *slot = BASE62[rest % 62];
        rest /= 62;
    }
    out
}

#[cfg(test)]
mod tests;
