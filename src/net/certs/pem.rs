//! PEM as people, editors and environment variables leave it.
//!
//! Owns: finding the blocks, and what is wrong with one, in words. Must not know:
//! which file it is, whether to believe a certificate. Invariant: no byte of the
//! text is in a problem, nor what a parser said of it: parsers quote.

use std::fmt;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use secrecy::{ExposeSecret, SecretString};

use super::parse;

const BEGIN: &str = "-----BEGIN ";
const CERTIFICATE: &str = "CERTIFICATE";
/// The labels that are named to the reader; another word may be anything.
const LABELS: [&str; 9] = [
    CERTIFICATE,
    "TRUSTED CERTIFICATE",
    "CERTIFICATE REQUEST",
    "X509 CRL",
    "PRIVATE KEY",
    "RSA PRIVATE KEY",
    "EC PRIVATE KEY",
    "ENCRYPTED PRIVATE KEY",
    "PUBLIC KEY",
];

/// What is wrong with a text, as the end of the sentence "the file …".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PemProblem {
    what: What,
    /// Which block, from 1.
    block: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    None {
        wanted: &'static str,
        found: Option<&'static str>,
    },
    Binary,
    Utf16,
    EscapedLines,
    NoEnd,
    NotBase64,
    NotACertificate,
    NotAKey,
    Encrypted,
}

impl PemProblem {
    /// What to do about it; `otherwise` where that depends on the file.
    pub fn cure(self, otherwise: &'static str) -> &'static str {
        match self.what {
            What::Binary => "convert it to PEM with `openssl x509` or `openssl pkcs12`",
            What::Utf16 => "save it as plain ASCII or UTF-8",
            What::EscapedLines => {
                "turn each \\n into a line end, for example with `printf '%b'` or `jq -r`"
            }
            What::Encrypted => {
                "nobody can be asked for its passphrase; decrypt it with `openssl pkey`"
            }
            What::NoEnd | What::NotBase64 | What::NotACertificate | What::NotAKey => {
                "copy the whole file again from where it was made"
            }
            What::None { .. } => otherwise,
        }
    }
}

impl fmt::Display for PemProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.what {
            What::None { wanted, found } => {
                write!(f, "holds no {wanted}")?;
                found.map_or(Ok(()), |found| write!(f, ", but a block {found}"))?;
            }
            What::Binary => f.write_str("is binary (DER or PKCS#12), not PEM")?,
            What::Utf16 => f.write_str("is UTF-16, not PEM")?,
            What::EscapedLines => f.write_str("has \\n written out in place of its line ends")?,
            What::NoEnd => f.write_str("is damaged: a BEGIN line has no END line")?,
            What::NotBase64 => {
                f.write_str("is damaged: what is between BEGIN and END is not base64")?
            }
            What::NotACertificate => f.write_str("holds a damaged certificate")?,
            What::NotAKey => f.write_str("holds a damaged private key")?,
            What::Encrypted => f.write_str("is encrypted")?,
        }
        match self.block {
            Some(block) => write!(f, " (block {block})"),
            None => Ok(()),
        }
    }
}

/// One block; its text is wiped when it is dropped.
struct Block {
    /// From 1, among all blocks of the text.
    number: usize,
    label: String,
    /// With the line ends that belong there.
    text: SecretString,
}

impl Block {
    fn wrong(&self, what: What) -> PemProblem {
        PemProblem {
            what,
            block: Some(self.number),
        }
    }
}

/// A certificate, and which block of its file it is.
#[derive(Debug, Clone)]
pub(super) struct Numbered {
    pub(super) block: usize,
    pub(super) der: CertificateDer<'static>,
}

/// The certificates of a text, one at least; other blocks are passed over.
pub(super) fn certificates(text: &[u8]) -> Result<Vec<Numbered>, PemProblem> {
    let blocks = blocks(text)?;
    let found = blocks.first().map(|block| known(&block.label));
    let certificates: Vec<Numbered> = blocks
        .into_iter()
        .filter(|block| block.label == CERTIFICATE)
        .map(|block| {
            let der = CertificateDer::from_pem_slice(block.text.expose_secret().as_bytes())
                .map_err(|_| block.wrong(What::NotBase64))?;
            parse::facts(&der).map_err(|_| block.wrong(What::NotACertificate))?;
            Ok(Numbered {
                block: block.number,
                der,
            })
        })
        .collect::<Result<_, _>>()?;
    if certificates.is_empty() {
        return Err(none("certificate", found));
    }
    Ok(certificates)
}

/// The certificates of CAs, as a PEM text that every parser reads.
///
/// # Errors
/// What is wrong with the text, without quoting it.
pub(crate) fn ca_pem(text: &[u8]) -> Result<Vec<u8>, PemProblem> {
    certificates(text)?;
    let blocks = blocks(text)?.into_iter();
    let texts = blocks.filter(|block| block.label == CERTIFICATE);
    Ok(texts
        .flat_map(|block| block.text.expose_secret().as_bytes().to_vec())
        .collect())
}

/// The first private key of a text.
pub(super) fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, PemProblem> {
    let blocks = blocks(text)?;
    let Some(block) = blocks
        .iter()
        .find(|block| block.label.ends_with("PRIVATE KEY"))
    else {
        return Err(none(
            "private key",
            blocks.first().map(|block| known(&block.label)),
        ));
    };
    let text = block.text.expose_secret();
    // Both PKCS#8's own label and the header of the older formats.
    if text.contains("ENCRYPTED") {
        return Err(block.wrong(What::Encrypted));
    }
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|error| match error {
        pem::Error::Base64Decode(_) => block.wrong(What::NotBase64),
        _ => block.wrong(What::NotAKey),
    })
}

fn none(wanted: &'static str, found: Option<&'static str>) -> PemProblem {
    PemProblem {
        what: What::None { wanted, found },
        block: None,
    }
}

fn known(label: &str) -> &'static str {
    let known = LABELS.into_iter().find(|known| *known == label);
    known.unwrap_or("of another kind")
}

/// All blocks, wherever they begin in their lines and however their lines end. What
/// stands between them, a byte order mark too, is passed over.
fn blocks(text: &[u8]) -> Result<Vec<Block>, PemProblem> {
    let whole = |what| PemProblem { what, block: None };
    if text.starts_with(&[0xff, 0xfe]) || text.starts_with(&[0xfe, 0xff]) {
        return Err(whole(What::Utf16));
    }
    // Comments between the blocks may be in any encoding.
    let text = SecretString::from(String::from_utf8_lossy(text).into_owned());
    let mut rest = text.expose_secret();
    if !rest.contains(BEGIN) && rest.contains(['\0', '\u{fffd}']) {
        return Err(whole(What::Binary));
    }
    let mut blocks = Vec::new();
    while let Some(at) = rest.find(BEGIN) {
        let number = blocks.len() + 1;
        let wrong = |what| PemProblem {
            what,
            block: Some(number),
        };
        rest = &rest[at + BEGIN.len()..];
        let (label, after) = rest.split_once("-----").ok_or(wrong(What::NoEnd))?;
        let end = format!("-----END {label}-----");
        let (body, after) = after.split_once(end.as_str()).ok_or(wrong(What::NoEnd))?;
        if body.contains(BEGIN) {
            return Err(wrong(What::NoEnd));
        }
        if body.contains("\\n") {
            return Err(wrong(What::EscapedLines));
        }
        rest = after;
        blocks.push(Block {
            number,
            label: label.to_owned(),
            text: lines(label, body, &end),
        });
    }
    Ok(blocks)
}

/// A block as it is meant: a line for each word, for base64 has no spaces.
fn lines(label: &str, body: &str, end: &str) -> SecretString {
    // In one piece: what grows leaves copies behind.
    let mut text =
        String::with_capacity(BEGIN.len() + label.len() + 2 * body.len() + end.len() + 9);
    text.extend([BEGIN, label, "-----\n"]);
    for word in body.split_whitespace() {
        text.extend([word, "\n"]);
    }
    text.extend([end, "\n"]);
    text.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made() -> (String, String) {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(["h".to_owned()]).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn what_is_clearly_meant_is_read() {
        let ((one, key), (two, _)) = (made(), made());
        let (bare, dos) = (one.trim_end(), two.replace('\n', "\r\n"));
        let indented = one.replace('\n', "\n    ");
        let flat = one.replace('\n', " ");
        for (text, count) in [
            (format!("{one}{two}"), 2),
            (format!("{bare}{two}"), 2),
            (format!("\u{feff}{one}\u{feff}{two}"), 2),
            (format!("subject=é\n{one}\n\n# next\n{dos}"), 2),
            (format!("{key}{indented}{flat}"), 2),
        ] {
            let found = certificates(text.as_bytes()).expect(&text);
            assert_eq!(found.len(), count, "{text}");
            let again = ca_pem(text.as_bytes()).unwrap();
            assert_eq!(certificates(&again).unwrap().len(), count, "{text}");
        }
        let text = format!("\u{feff}{bare}{key}");
        private_key(text.as_bytes()).unwrap();
        let flat = key.replace('\n', " ");
        private_key(flat.as_bytes()).unwrap();
    }

    #[test]
    fn nothing_of_the_text_is_in_a_problem() {
        let (cert, key) = made();
        let secret = key.lines().nth(1).unwrap();
        let half = secret.len() / 2;
        let cut = key.replace("-----END", "-- --END");
        let mut binary = vec![0x30, 0x82, 0, 1];
        binary.extend(secret.as_bytes());
        let utf16 = std::iter::once(0xfeff)
            .chain(key.encode_utf16())
            .flat_map(u16::to_le_bytes)
            .collect();
        let texts: Vec<(Vec<u8>, &str)> = vec![
            (key.replace('\n', "\\n").into(), "\\n written out"),
            (cert.replace('\n', "\\n").into(), "\\n written out"),
            (cut.into(), "no END line"),
            (format!("-----BEGIN {secret}").into(), "no END line"),
            (format!("-----BEGIN {secret}-----").into(), "no END line"),
            (
                key.replace(&secret[half..half + 4], "?*?*").into(),
                "not base64",
            ),
            (binary, "is binary"),
            (utf16, "is UTF-16"),
            (secret.into(), "holds no"),
            (Vec::new(), "holds no"),
        ];
        for (text, words) in texts {
            let problems = [
                certificates(&text).map(drop),
                private_key(&text).map(drop),
                ca_pem(&text).map(drop),
            ];
            let mut told = false;
            for problem in problems.into_iter().filter_map(Result::err) {
                let said = format!("{problem} {problem:?} {}", problem.cure(""));
                for part in [secret, &secret[..half], &secret[half + 4..]] {
                    assert!(!said.contains(part), "{said}");
                    let decimals = format!("{:?}", part.as_bytes());
                    assert!(!said.contains(decimals.trim_matches(['[', ']'])), "{said}");
                }
                told |= said.contains(words);
            }
            assert!(told, "{words}: {}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn the_block_and_its_kind_are_named() {
        let (cert, key) = made();
        let said = |text: &str| certificates(text.as_bytes()).unwrap_err().to_string();
        assert_eq!(said(&key), "holds no certificate, but a block PRIVATE KEY");
        let broken = cert.replace("MII", "AAA");
        let said = said(&format!("{cert}{broken}"));
        assert_eq!(said, "holds a damaged certificate (block 2)");
        let said = private_key(cert.as_bytes()).unwrap_err().to_string();
        assert_eq!(said, "holds no private key, but a block CERTIFICATE");
    }
}
