//! What a KEY argument names.
//! Invariant: a secret that was pasted where an id belongs is not echoed.

use super::error::CliError;
use crate::control::agent_config::quote::clean;
use crate::keys::{PresentedKey, PresentedToken};

/// A KEY argument in a form that can be shown again.
pub(in crate::cli) fn shown(given: &str) -> String {
    match secret_in(given) {
        Some(kind) => format!("{kind}…"),
        None => clean(given),
    }
}

pub(super) fn secret_in(given: &str) -> Option<&'static str> {
    let bare = given.trim_matches(|c: char| c.is_whitespace() || matches!(c, '"' | '\''));
    // Also behind a pasted "Bearer " or "token: ".
    let word = bare.rsplit(char::is_whitespace).next().unwrap_or(bare);
    ["dpk_", "mat_"]
        .into_iter()
        .find(|kind| word.starts_with(kind))
}

/// Refuses a KEY argument that is a secret, before anything is done: what is
/// typed wrongly in one place is best typed again as a whole.
pub(in crate::cli) fn refuse_secret(given: &str) -> Result<(), CliError> {
    match secret_in(given) {
        Some(kind) => Err(CliError::Usage(pasted_secret(kind, given))),
        None => Ok(()),
    }
}

pub(super) fn pasted_secret(kind: &str, given: &str) -> String {
    if kind == "mat_" {
        let id = match PresentedToken::parse(given.as_bytes()) {
            Ok(token) => format!(" Its id is {}.", token.id),
            Err(_) => " `muster tokens list` shows the ids.".to_owned(),
        };
        return format!(
            "that is an admin token itself, the secret (mat_…), not an id.{id} It has now been on \
             a command line, so see to it that nobody can read it there"
        );
    }
    let id = match PresentedKey::parse(given.as_bytes()) {
        Ok(key) => format!(" Its id is {}.", key.id),
        Err(_) => " `muster keys list` shows the ids.".to_owned(),
    };
    format!(
        "that is a data plane key itself, the secret (dpk_…), not its id (key_…).{id} It has now \
         been on a command line, so see to it that nobody can read it there"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::{Kind, mint};

    #[test]
    fn a_pasted_secret_is_recognised_and_not_echoed() {
        let key = mint(Kind::DataPlaneKey).unwrap();
        let token = mint(Kind::AdminToken).unwrap();
        let quoted = format!(" \"{}\"", key.expose());
        let bearer = format!("Bearer {}", key.expose());
        for given in [key.expose(), &quoted, &bearer, token.expose()] {
            let kind = secret_in(given).unwrap();
            let told = pasted_secret(kind, given) + &shown(given);
            assert!(!told.contains(&key.expose()[21..40]), "{told}");
            assert!(!told.contains(&token.expose()[4..40]), "{told}");
        }
        let told = pasted_secret("dpk_", &quoted);
        assert!(
            told.contains(&format!("Its id is key_{}", key.id)),
            "{told}"
        );
        assert_eq!(secret_in("web"), None);
        assert_eq!(secret_in("key_0123456789ABCDEF"), None);
    }
}
