//! The format is pinned, noise is tolerated, nothing secret is printed.

use super::*;

const PINNED_DIGEST: &str = "7d1e227d2004cbeeccbba83b14766e94f2abb63a9d027502c1114026dd8916c0";
const PINNED_CHECKSUM: &str = "30JHAQ";
/// A fixed credential: the format may never change under its users.
const FIXED: &str = "dpk_0123456789ABCDEF_abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";

fn fixed() -> String {
    let sum = checksum(FIXED.as_bytes());
    format!("{FIXED}{}", std::str::from_utf8(&sum).unwrap())
}

#[test]
fn the_format_is_pinned() {
    let presented = PresentedKey::parse(fixed().as_bytes()).unwrap();
    assert_eq!(presented.id.to_string(), "key_0123456789ABCDEF");
    // sha256sum of the 43 characters; the checksum from Python's zlib.crc32.
    let hex: String = presented
        .digest
        .as_bytes()
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(hex, PINNED_DIGEST);
    assert_eq!(&fixed()[BODY_LEN..], PINNED_CHECKSUM);
}

#[test]
fn what_is_minted_is_recognised() {
    for _ in 0..100 {
        let minted = mint(Kind::DataPlaneKey).unwrap();
        let presented = PresentedKey::parse(minted.expose().as_bytes()).unwrap();
        assert_eq!(presented.id.0, minted.id);
        assert_eq!(presented.digest, minted.digest);
        assert_eq!(
            PresentedToken::parse(minted.expose().as_bytes()).unwrap_err(),
            CredentialError::Malformed
        );
    }
}

#[test]
fn pasted_noise_is_tolerated() {
    let key = fixed();
    for pasted in [
        format!(" {key}\r\n"),
        format!("\"{key}\""),
        format!("'{key}'"),
        format!("Bearer {key}"),
        format!("bearer \"{key}\""),
    ] {
        assert!(PresentedKey::parse(pasted.as_bytes()).is_ok(), "{pasted}");
    }
}

#[test]
fn each_fault_is_named() {
    let key = fixed();
    let cases: [(Vec<u8>, CredentialError); 14] = [
        (b"".to_vec(), CredentialError::Missing),
        (b" \"\" ".to_vec(), CredentialError::Missing),
        (b"Bearer ".to_vec(), CredentialError::Missing),
        (b"key_0123456789ABCDEF".to_vec(), CredentialError::Malformed),
        (b"hunter2".to_vec(), CredentialError::Malformed),
        (vec![b'a'; 10_240], CredentialError::Malformed),
        (
            [b"dpk_", [b'a'; 10_240].as_slice()].concat(),
            CredentialError::Malformed,
        ),
        ("dpk_é".repeat(10).into_bytes(), CredentialError::Damaged),
        (format!("{key},").into_bytes(), CredentialError::Damaged),
        (
            format!("{} {}", &key[..40], &key[40..]).into_bytes(),
            CredentialError::Damaged,
        ),
        (b"dpk_".to_vec(), CredentialError::Damaged),
        (key.as_bytes()[..69].to_vec(), CredentialError::Damaged),
        (format!("{key}x").into_bytes(), CredentialError::Damaged),
        (key.replace('F', "f").into_bytes(), CredentialError::Damaged),
    ];
    for (bytes, fault) in cases {
        assert_eq!(
            PresentedKey::parse(&bytes).unwrap_err(),
            fault,
            "{}",
            String::from_utf8_lossy(&bytes[..bytes.len().min(80)])
        );
    }
}

#[test]
fn any_changed_character_is_noticed() {
    let key = fixed();
    for at in 0..key.len() {
        let mut changed = key.clone().into_bytes();
        changed[at] = if changed[at] == b'Z' { b'Y' } else { b'Z' };
        assert!(PresentedKey::parse(&changed).is_err(), "character {at}");
    }
}

#[test]
fn nothing_secret_is_printed() {
    let minted = mint(Kind::DataPlaneKey).unwrap();
    let secret = minted.expose().to_owned();
    let presented = PresentedKey::parse(secret.as_bytes()).unwrap();
    for printed in [
        format!("{minted:?}"),
        format!("{presented:?}"),
        format!("{:?}", minted.digest),
    ] {
        assert!(!printed.contains(&secret[21..64]), "{printed}");
    }
    assert_eq!(format!("{:?}", presented.digest), "Digest(..)");
}
