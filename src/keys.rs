//! The keys of a node, each derived from the secret for one purpose.

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A key for one purpose.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// HMAC-SHA256 over the parts, each preceded by its length, so that no two lists of parts are alike.
    pub fn sign(&self, parts: &[&[u8]]) -> [u8; 32] {
        self.mac(parts).finalize().into_bytes().into()
    }

    /// Whether `signature` is the beginning, 16 bytes at least, of what [`Key::sign`] answers for `parts`. Takes the same time wherever they differ.
    pub fn verify(&self, parts: &[&[u8]], signature: &[u8]) -> bool {
        signature.len() >= 16 && self.mac(parts).verify_truncated_left(signature).is_ok()
    }

    fn mac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        let mut mac =
            Hmac::<Sha256>::new_from_slice(&self.0).expect("HMAC takes a key of any size");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

/// Every key of a node but that of access tokens, which are signed with the secret itself, so that a
/// service beside natter that holds the secret can check and make them.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Signs the paths of media.
    pub media: Key,
    /// Makes the digests by which retried messages are recognised.
    pub digest: Key,
}

impl Keys {
    /// Derives every key from `secret` by HKDF-SHA256, with a label for each.
    pub fn derive(secret: &[u8]) -> Self {
        let hkdf = Hkdf::<Sha256>::new(None, secret);
        let key = |label: &[u8]| {
            let mut key = [0; 32];
            hkdf.expand(label, &mut key).expect("32 bytes are within what HKDF-SHA256 can give");
            Key(key)
        };
        Self { media: key(b"natter media"), digest: key(b"natter digest") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_purpose_and_parts_do_not_run_together() {
        let keys = Keys::derive(b"a secret of at least thirty-two bytes");
        let signature = keys.media.sign(&[b"ab", b"c"]);
        assert!(keys.media.verify(&[b"ab", b"c"], &signature[..16]));
        assert!(!keys.media.verify(&[b"a", b"bc"], &signature));
        assert!(!keys.digest.verify(&[b"ab", b"c"], &signature));
        assert!(!keys.media.verify(&[b"ab", b"c"], &signature[..8]));
    }
}
