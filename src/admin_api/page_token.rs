//! Page tokens: one format for the lists of gRPC and REST.
//!
//! A token is the hexadecimal form of a proof and of the place, as JSON, where a
//! page ended. No secret is in it.

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// Bytes of a token that prove that a list like this one gave it out.
const PROOF: usize = 8;

/// Tokens that share their words: those of one REST list with its filters and order, or
/// those of all gRPC lists.
pub(super) struct PageTokens {
    proof: Sha256,
}

impl PageTokens {
    /// Those of the list that `words` describe.
    pub fn of<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut proof = Sha256::new();
        for word in words {
            proof.update((word.len() as u64).to_be_bytes());
            proof.update(word);
        }
        Self { proof }
    }

    /// The token of a place.
    pub fn token(&self, place: &impl Serialize) -> String {
        // A place is words and numbers: there is nothing that JSON can't say.
        let place = serde_json::to_vec(place).unwrap_or_default();
        HEXLOWER.encode(&[&self.proof_of(&place)[..], &place].concat())
    }

    /// The place of a token; `None`: it was not given out under these words.
    pub fn place<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        let bytes = HEXLOWER_PERMISSIVE.decode(token.as_bytes()).ok()?;
        let (proof, place) = bytes.split_at_checked(PROOF)?;
        if proof != self.proof_of(place) {
            return None;
        }
        serde_json::from_slice(place).ok()
    }

    fn proof_of(&self, place: &[u8]) -> [u8; PROOF] {
        let hash = self.proof.clone().chain_update(place).finalize();
        let mut proof = [0; PROOF];
        proof.copy_from_slice(&hash[..PROOF]);
        proof
    }
}
