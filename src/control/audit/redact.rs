//! Words on their way into the trail: short, and without secrets.
//!
//! Invariant: what looks like a key or a token does not get in, wherever it was
//! pasted: as an id, as a name, in the namespace of a path.

use crate::keys::Kind;

/// Characters of a detail, of a reason, of a target.
const MOST: usize = 512;
/// Characters of an id. What follows one in a credential is its secret.
const ID: usize = 16;
/// Of a secret, without and with its checksum.
const SECRET: std::ops::RangeInclusive<usize> = 43..=49;

/// Those words, cut to 512 characters, with `…` in the place of a credential.
pub(super) fn redact(words: &str) -> String {
    let mut redacted = String::with_capacity(words.len().min(MOST));
    let mut rest = words;
    while let Some(first) = rest.chars().next() {
        let is_word = in_word(first);
        let end = rest.find(|c| in_word(c) != is_word);
        let (run, after) = rest.split_at(end.unwrap_or(rest.len()));
        redacted += if is_word { public(run) } else { run };
        if is_word && public(run) != run {
            redacted.push('…');
        }
        rest = after;
    }
    if let Some((end, _)) = redacted.char_indices().nth(MOST) {
        redacted.truncate(end);
    }
    redacted
}

fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// The beginning of a word that may be shown.
fn public(word: &str) -> &str {
    let prefixes = [Kind::DataPlaneKey, Kind::AdminToken].map(Kind::prefix);
    let credential = prefixes.iter().filter_map(|prefix| {
        let end = word.find(prefix)? + prefix.len();
        (word.len() > end + ID).then_some(end + ID)
    });
    let mut at = 0;
    let bare = word.split('_').find_map(|part| {
        let start = at;
        at += part.len() + 1;
        SECRET.contains(&part.len()).then_some(start)
    });
    let end = credential.chain(bare).min().unwrap_or(word.len());
    &word[..end]
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::keys::mint;

    #[test]
    fn no_credential_gets_through_and_all_else_does() {
        for kind in [Kind::DataPlaneKey, Kind::AdminToken] {
            let minted = mint(kind).unwrap();
            let whole = minted.text.expose_secret();
            let (head, secret) = whole.split_at(whole.len() - 49);
            let cut = &whole[..whole.len() - 10];
            for pasted in [
                whole.to_owned(),
                format!("name: \"{whole}\", and more"),
                format!("x{whole}{whole}"),
                cut.to_owned(),
                secret.to_owned(),
                secret[..43].to_owned(),
            ] {
                let redacted = redact(&pasted);
                assert!(!redacted.contains(&secret[..20]), "{redacted}");
                assert!(redacted.contains('…'), "{redacted}");
            }
            let id = &head[..head.len() - 1];
            assert_eq!(redact(&format!("{whole} and")), format!("{id}… and"));
        }
        let sha = "0123456789abcdef".repeat(4);
        for harmless in [
            "key_0123456789ABCDEF",
            "name: \"dpk_of_web\" -> \"mat_é\"",
            "0123456789ABCDEF-7",
            sha.as_str(),
            "",
        ] {
            assert_eq!(redact(harmless), harmless);
        }
        assert_eq!(redact(&"é ".repeat(400)).chars().count(), 512);
    }
}
