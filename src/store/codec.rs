//! How a record lies in any backend: a format number, a CRC-32, then JSON.
//!
//! Decodes strictly, and keeps the fields it does not know, so that a newer
//! muster's fields survive an older one's edit.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::error::StoreError;
use super::tokens::{Role, TokenRecord};
use crate::keys::{Digest, Id, KeyId, KeyRecord, Revision, Timestamp, TokenId};

/// The format that this muster writes.
pub(in crate::store) const FORMAT: u8 = 1;
const HEAD: usize = 5;

/// What lies under a key's id.
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub(in crate::store) enum StoredKey {
    Key(Box<KeyRow>),
    Deleted(DeletedRow),
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct KeyRow {
    pub namespace: String,
    pub name: String,
    pub digest: HexDigest,
    pub created_at: Timestamp,
    pub modified_at: Timestamp,
    pub expires_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
    /// The latest expiry that it ever had; missing in rows from before there was
    /// one: then [`KeyRow::latest_expiry`] is what is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest_expiry: Option<Timestamp>,
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
    /// Last, for [`unsealed`].
    pub revision: Revision,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct DeletedRow {
    pub digest: HexDigest,
    /// The latest that the key ever had: a gateway may know that one.
    pub expires_at: Timestamp,
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
    /// Last, for [`unsealed`].
    pub revision: Revision,
}

/// An entry of the feed: what happened, and the record as it was then.
#[derive(Serialize, Deserialize)]
pub(in crate::store) struct FeedRow {
    pub key: KeyId,
    pub what: What,
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
    /// Last, for [`unsealed`].
    pub record: StoredKey,
}

#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::store) enum What {
    Created,
    Edited,
    Revoked,
    Deleted,
}

#[derive(Serialize, Deserialize)]
pub(in crate::store) struct TokenRow {
    pub name: String,
    pub digest: HexDigest,
    pub role: Role,
    pub created_at: Timestamp,
    /// Missing in rows from before tokens could expire or be revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<Timestamp>,
    #[serde(flatten)]
    pub unknown: Map<String, Value>,
}

/// A digest in hexadecimal.
#[derive(Clone, Copy)]
pub(in crate::store) struct HexDigest(pub Digest);

impl Serialize for HexDigest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_str(&HEXLOWER.encode(self.0.as_bytes()))
    }
}

impl<'de> Deserialize<'de> for HexDigest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let text = String::deserialize(d)?;
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        bytes
            .and_then(|bytes| <[u8; 32]>::try_from(bytes).ok())
            .map(|bytes| Self(Digest::from_bytes(bytes)))
            .ok_or_else(|| serde::de::Error::custom("digest: not 64 hexadecimal digits"))
    }
}

impl StoredKey {
    /// The revision of its last change.
    pub fn revision(&self) -> Revision {
        match self {
            Self::Key(row) => row.revision,
            Self::Deleted(marker) => marker.revision,
        }
    }
}

impl KeyRow {
    /// A record as it was before its revoke.
    pub fn unrevoked(record: KeyRecord) -> Self {
        Self {
            namespace: record.namespace,
            name: record.name,
            digest: HexDigest(record.digest),
            created_at: record.created_at,
            modified_at: record.modified_at,
            expires_at: record.expires_at,
            revoked_at: None,
            latest_expiry: None,
            unknown: Map::new(),
            revision: record.revision,
        }
    }

    /// The latest expiry that it ever had, as far as is known.
    pub fn latest_expiry(&self) -> Timestamp {
        self.latest_expiry
            .map_or(self.expires_at, |at| at.max(self.expires_at))
    }

    pub fn to_record(&self, id: KeyId) -> KeyRecord {
        KeyRecord {
            namespace: self.namespace.clone(),
            id,
            name: self.name.clone(),
            digest: self.digest.0,
            created_at: self.created_at,
            modified_at: self.modified_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
            revision: self.revision,
        }
    }
}

impl TokenRow {
    pub fn new(token: &TokenRecord) -> Self {
        Self {
            name: token.name.clone(),
            digest: HexDigest(token.digest),
            role: token.role,
            created_at: token.created_at,
            expires_at: token.expires_at,
            revoked_at: token.revoked_at,
            unknown: Map::new(),
        }
    }

    pub fn to_record(&self, id: TokenId) -> TokenRecord {
        TokenRecord {
            id,
            name: self.name.clone(),
            digest: self.digest.0,
            role: self.role,
            created_at: self.created_at,
            expires_at: self.expires_at,
            revoked_at: self.revoked_at,
        }
    }
}

/// A stored key's 16 characters as the id they are.
pub(in crate::store) fn key_id(bytes: &[u8; 16]) -> Result<KeyId, StoreError> {
    id("a key", bytes).map(KeyId)
}

/// A stored token's 16 characters as the id they are.
pub(in crate::store) fn token_id(bytes: &[u8; 16]) -> Result<TokenId, StoreError> {
    id("a token", bytes).map(TokenId)
}

fn id(what: &str, bytes: &[u8; 16]) -> Result<Id, StoreError> {
    Id::from_bytes(bytes).ok_or_else(|| StoreError::Corrupt {
        what: what.into(),
        why: "its id is not one".into(),
    })
}

pub(in crate::store) fn encode<T: Serialize>(row: &T) -> Result<Vec<u8>, StoreError> {
    let mut bytes = vec![FORMAT, 0, 0, 0, 0];
    serde_json::to_writer(&mut bytes, row).map_err(|e| StoreError::Failed(e.to_string()))?;
    let crc = crc32fast::hash(&bytes[HEAD..]).to_le_bytes();
    bytes[1..HEAD].copy_from_slice(&crc);
    Ok(bytes)
}

/// A row without its revision, which Redis's script puts in: the backend that
/// makes the revision is the only one that knows it.
pub(in crate::store) struct Unsealed {
    /// The text before the revision.
    pub head: Vec<u8>,
    /// Its CRC-32, which the script goes on from.
    pub crc: u32,
    /// The text behind the revision: closing braces.
    pub tail: &'static str,
}

/// What [`Unsealed`] rows carry in the place of their revision.
pub(in crate::store) const UNKNOWN_REVISION: Revision = Revision(u64::MAX);

/// Encodes a row whose last field is the revision, [`UNKNOWN_REVISION`], of
/// itself or of a record in it.
pub(in crate::store) fn unsealed<T: Serialize>(row: &T) -> Result<Unsealed, StoreError> {
    let mut head = serde_json::to_vec(row).map_err(|e| StoreError::Failed(e.to_string()))?;
    let number = UNKNOWN_REVISION.to_string();
    let tail = ["}", "}}"]
        .into_iter()
        .find(|tail| head.ends_with(format!("{number}{tail}").as_bytes()));
    let tail =
        tail.ok_or_else(|| StoreError::Failed("a row does not end in its revision".into()))?;
    head.truncate(head.len() - number.len() - tail.len());
    let crc = crc32fast::hash(&head);
    Ok(Unsealed { head, crc, tail })
}

/// Reads a row; `what` names it in the error.
pub(in crate::store) fn decode<T: DeserializeOwned>(
    bytes: &[u8],
    what: impl Fn() -> String,
) -> Result<T, StoreError> {
    let corrupt = |why: String| StoreError::Corrupt { what: what(), why };
    let (head, json) = bytes
        .split_at_checked(HEAD)
        .ok_or_else(|| corrupt("it is too short".into()))?;
    if head[0] != FORMAT {
        return Err(corrupt(format!("its format is {}, not {FORMAT}", head[0])));
    }
    if head[1..] != crc32fast::hash(json).to_le_bytes() {
        return Err(corrupt("its checksum is wrong".into()));
    }
    serde_json::from_slice(json).map_err(|e| corrupt(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &str = r#"{"kind":"key","namespace":"default","name":"edge","digest":"0000000000000000000000000000000000000000000000000000000000000000","created_at":1,"modified_at":2,"expires_at":3,"revoked_at":null,"revision":4,"colour":"red"}"#;

    fn sealed(json: &str) -> Vec<u8> {
        let mut bytes = vec![FORMAT];
        bytes.extend(crc32fast::hash(json.as_bytes()).to_le_bytes());
        bytes.extend(json.as_bytes());
        bytes
    }

    #[test]
    fn unknown_fields_survive() {
        let row: StoredKey = decode(&sealed(ROW), || "k".into()).unwrap();
        let again: Value = serde_json::from_slice(&encode(&row).unwrap()[HEAD..]).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(ROW).unwrap());
    }

    #[test]
    fn a_token_from_before_expiries_is_read_and_its_unknown_fields_survive() {
        let old = r#"{"name":"first","digest":"0000000000000000000000000000000000000000000000000000000000000000","role":"admin","created_at":1,"colour":"red"}"#;
        let row: TokenRow = decode(&sealed(old), || "t".into()).unwrap();
        let record = row.to_record(TokenId(Id::random().unwrap()));
        assert_eq!((record.expires_at, record.revoked_at), (None, None));
        let again: Value = serde_json::from_slice(&encode(&row).unwrap()[HEAD..]).unwrap();
        assert_eq!(again, serde_json::from_str::<Value>(old).unwrap());
    }

    #[test]
    fn damage_is_noticed() {
        let whole = sealed(ROW);
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            let read: Result<StoredKey, _> = decode(&damaged, || "k".into());
            assert!(matches!(read, Err(StoreError::Corrupt { .. })), "byte {at}");
        }
        assert!(decode::<StoredKey>(&whole[..3], || "k".into()).is_err());
    }

    #[test]
    fn a_missing_or_misshapen_field_is_damage() {
        for broken in [
            ROW.replace("\"name\":\"edge\",", ""),
            ROW.replace("\"digest\":\"00", "\"digest\":\"zz"),
            ROW.replace("\"kind\":\"key\"", "\"kind\":\"door\""),
        ] {
            assert!(decode::<StoredKey>(&sealed(&broken), || "k".into()).is_err());
        }
    }
}
