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

/// A key that signs, and beside it, while the cluster's secret is changed node by node, the one that it
/// follows, by which others may still have signed.
#[derive(Debug, Clone)]
pub struct KeyRing {
    current: Key,
    previous: Option<Key>,
}

impl KeyRing {
    /// HMAC-SHA256 with the current key, as [`Key::sign`].
    pub fn sign<P: AsRef<[u8]>>(&self, parts: &[P]) -> [u8; 32] {
        self.current.sign(&slices(parts))
    }

    /// The same with the key before it, where there is one.
    pub fn sign_as_before<P: AsRef<[u8]>>(&self, parts: &[P]) -> Option<[u8; 32]> {
        self.previous.as_ref().map(|previous| previous.sign(&slices(parts)))
    }

    /// Whether `signature` was made by either key, as [`Key::verify`].
    pub fn verify<P: AsRef<[u8]>>(&self, parts: &[P], signature: &[u8]) -> bool {
        let parts = slices(parts);
        let mut keys = std::iter::once(&self.current).chain(&self.previous);
        keys.any(|key| key.verify(&parts, signature))
    }
}

fn slices<P: AsRef<[u8]>>(parts: &[P]) -> Vec<&[u8]> {
    parts.iter().map(AsRef::as_ref).collect()
}

/// Every key of a node but that of access tokens, which are signed with the secret itself, so that a
/// service beside natter that holds the secret can check and make them.
#[derive(Debug, Clone)]
pub struct Keys {
    /// Signs the paths of media.
    pub media: KeyRing,
    /// Makes the digests by which retried messages are recognised.
    pub digest: KeyRing,
    /// Signs what travels on the bus.
    pub bus: KeyRing,
    /// Signs the requests that nodes hand on to each other.
    pub forward: KeyRing,
}

impl Keys {
    /// Derives every key from `secret` by HKDF-SHA256, with a label for each; `previous` is the secret that it
    /// follows, while both are in use.
    pub fn derive(secret: &[u8], previous: Option<&[u8]>) -> Self {
        let ring = |label: &[u8]| KeyRing {
            current: derive(secret, label),
            previous: previous.map(|secret| derive(secret, label)),
        };
        Self {
            media: ring(b"natter media"),
            digest: ring(b"natter digest"),
            bus: ring(b"natter bus"),
            forward: ring(b"natter forward"),
        }
    }
}

fn derive(secret: &[u8], label: &[u8]) -> Key {
    let mut key = [0; 32];
    Hkdf::<Sha256>::new(None, secret)
        .expand(label, &mut key)
        .expect("32 bytes are within what HKDF-SHA256 can give");
    Key(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_differ_by_purpose_and_parts_do_not_run_together() {
        let keys = Keys::derive(b"a secret of at least thirty-two bytes", None);
        let signature = keys.media.sign(&["ab", "c"]);
        assert!(keys.media.verify(&["ab", "c"], &signature[..16]));
        assert!(!keys.media.verify(&["a", "bc"], &signature));
        assert!(!keys.bus.verify(&["ab", "c"], &signature));
        assert!(!keys.digest.verify(&["ab", "c"], &signature));
        assert!(!keys.media.verify(&["ab", "c"], &signature[..8]));
    }

    #[test]
    fn the_previous_secret_still_verifies_and_never_signs() {
        let (old, new) =
            (b"a secret of at least thirty-two bytes", b"the one that comes after the old");
        let before = Keys::derive(old, None).bus;
        let between = Keys::derive(new, Some(old)).bus;
        let after = Keys::derive(new, None).bus;
        let signed = between.sign(&["part"]);
        assert!(after.verify(&["part"], &signed) && !before.verify(&["part"], &signed));
        assert!(between.verify(&["part"], &before.sign(&["part"])));
        assert!(!after.verify(&["part"], &before.sign(&["part"])));
        assert_eq!(between.sign_as_before(&["part"]), Some(before.sign(&["part"])));
        assert_eq!(after.sign_as_before(&["part"]), None);
    }
}
