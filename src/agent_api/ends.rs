//! The words with which a session's stream ends.
//!
//! Owns: the last words that were made, for all sessions that end together: a
//! revoke ends thousands with the same ones. Must not know: what they say.

use parking_lot::Mutex;

use http::HeaderMap;

use super::status;
use crate::gateway::sessions::EndReason;
use crate::keys::KeyId;

/// Makes the trailers of sessions that were ended.
#[derive(Default)]
pub(super) struct Ends(Mutex<Option<Words>>);

struct Words {
    of: (EndReason, KeyId),
    trailers: HeaderMap,
}

impl Ends {
    /// The status of a session of `key` that ended like this, as trailers.
    pub fn trailers(&self, reason: EndReason, key: KeyId) -> HeaderMap {
        let of = (reason, key);
        let mut last = self.0.lock();
        match &*last {
            Some(words) if words.of == of => words.trailers.clone(),
            _ => {
                let trailers = status::trailers(&status::ended(reason, key));
                let words = trailers.clone();
                *last = Some(Words { of, trailers });
                words
            }
        }
    }
}
