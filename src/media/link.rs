//! Signed paths: who holds one may load what it names, for a while, if its reader still may.
//!
//! `/media/<token>`, where the token is base64url without padding of 45 bytes: a byte for the
//! variant, the attachment's id (12), the reader's id (12), the second since 1970 at which it ends
//! (4), and the first 16 bytes of a MAC over all of that.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::api::Variant;
use crate::domain::{AttachmentId, Timestamp, UserId};
use crate::keys::KeyRing;

/// Where the paths lead.
const PREFIX: &str = "/media/";

/// The bytes before the MAC.
const CLAIMS: usize = 1 + 12 + 12 + 4;

/// The bytes of a token.
const TOKEN: usize = CLAIMS + 16;

/// What a valid token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// The attachment.
    pub attachment: AttachmentId,
    /// For whom it was signed.
    pub reader: UserId,
    /// Which of its bytes.
    pub variant: Variant,
}

/// Signs and checks the paths of media.
#[derive(Debug, Clone)]
pub struct Links {
    keys: KeyRing,
    lifetime: Duration,
    /// The ends of tokens are whole multiples of this.
    step: u64,
}

impl Links {
    /// Links that live for `lifetime`, and up to a thirtieth (at most a minute) more: within that
    /// step the same file, variant and reader have the same link, so that pages are stable.
    pub fn new(keys: KeyRing, lifetime: Duration) -> Self {
        Self { keys, lifetime, step: (lifetime.as_secs() / 30).clamp(1, 60) }
    }

    /// The path under which `reader` may load `variant` of `attachment`.
    pub fn sign(
        &self,
        attachment: AttachmentId,
        reader: UserId,
        variant: Variant,
        now: Timestamp,
    ) -> String {
        let claim = Claim { attachment, reader, variant };
        let ends = now.plus(self.lifetime).as_millis().div_ceil(1000).next_multiple_of(self.step);
        let mut token = [0; TOKEN];
        let (claims, mac) = token.split_at_mut(CLAIMS);
        claims.copy_from_slice(&encode(claim, u32::try_from(ends).unwrap_or(u32::MAX)));
        mac.copy_from_slice(&self.keys.sign(&[&*claims])[..16]);
        let mut path = String::with_capacity(PREFIX.len() + TOKEN.div_ceil(3) * 4);
        path.push_str(PREFIX);
        URL_SAFE_NO_PAD.encode_string(token, &mut path);
        path
    }

    /// What `token` (a path without its beginning) says; `None` if it is malformed, not signed by
    /// these keys, or over.
    pub fn verify(&self, token: &str, now: Timestamp) -> Option<Claim> {
        if token.len() != (TOKEN * 4).div_ceil(3) {
            return None;
        }
        let bytes: [u8; TOKEN] = URL_SAFE_NO_PAD.decode(token).ok()?.try_into().ok()?;
        let (claims, mac) = bytes.split_at(CLAIMS);
        if !self.keys.verify(&[claims], mac) {
            return None;
        }
        let (claim, ends) = decode(claims.try_into().ok()?)?;
        (now.as_millis() < u64::from(ends) * 1000).then_some(claim)
    }
}

fn encode(claim: Claim, ends: u32) -> [u8; CLAIMS] {
    let mut bytes = [0; CLAIMS];
    bytes[0] = match claim.variant {
        Variant::Original => 0,
        Variant::Thumbnail => 1,
    };
    bytes[1..13].copy_from_slice(claim.attachment.as_bytes());
    bytes[13..25].copy_from_slice(claim.reader.as_bytes());
    bytes[25..].copy_from_slice(&ends.to_be_bytes());
    bytes
}

fn decode(bytes: [u8; CLAIMS]) -> Option<(Claim, u32)> {
    let variant = match bytes[0] {
        0 => Variant::Original,
        1 => Variant::Thumbnail,
        _ => return None,
    };
    let attachment = AttachmentId::from_bytes(bytes[1..13].try_into().ok()?);
    let reader = UserId::from_bytes(bytes[13..25].try_into().ok()?);
    let ends = u32::from_be_bytes(bytes[25..].try_into().ok()?);
    Some((Claim { attachment, reader, variant }, ends))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::Keys;

    const HALF_AN_HOUR: Duration = Duration::from_secs(30 * 60);
    const NOW: Timestamp = Timestamp(1_700_000_000_000);

    fn links(secret: &[u8]) -> Links {
        Links::new(Keys::derive(secret, None).media, HALF_AN_HOUR)
    }

    fn claim(variant: Variant) -> Claim {
        Claim { attachment: AttachmentId::new(1, 2), reader: UserId::new(3, 4), variant }
    }

    fn signed(links: &Links, variant: Variant, now: Timestamp) -> String {
        let claim = claim(variant);
        let path = links.sign(claim.attachment, claim.reader, variant, now);
        path.strip_prefix(PREFIX).unwrap().to_owned()
    }

    #[test]
    fn a_link_says_what_was_signed_until_it_ends() {
        let links = links(b"one");
        for variant in [Variant::Original, Variant::Thumbnail] {
            let token = signed(&links, variant, NOW);
            assert_eq!(token.len(), 60);
            assert_eq!(links.verify(&token, NOW), Some(claim(variant)));
            let last = NOW.plus(HALF_AN_HOUR);
            assert_eq!(
                links.verify(&token, last.minus(Duration::from_millis(1))),
                Some(claim(variant))
            );
            assert_eq!(links.verify(&token, last.plus(Duration::from_secs(61))), None);
        }
    }

    #[test]
    fn links_are_stable_within_a_minute() {
        let links = links(b"one");
        // Just behind a whole minute, so that the next 59 s are the same one.
        let start = Timestamp(1_700_000_040_001);
        let first = signed(&links, Variant::Original, start);
        let later = start.plus(Duration::from_millis(59_000));
        assert_eq!(signed(&links, Variant::Original, later), first);
        let next = start.plus(Duration::from_secs(60));
        assert_ne!(signed(&links, Variant::Original, next), first);
    }

    #[test]
    fn short_lifetimes_are_kept_to_the_second() {
        let links = Links::new(Keys::derive(b"one", None).media, Duration::from_secs(2));
        let token = signed(&links, Variant::Original, NOW);
        assert!(links.verify(&token, NOW.plus(Duration::from_millis(1999))).is_some());
        assert!(links.verify(&token, NOW.plus(Duration::from_secs(3))).is_none());
    }

    #[test]
    fn whatever_is_changed_a_link_is_none() {
        let links = links(b"one");
        let token = signed(&links, Variant::Original, NOW);
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(links.verify(&changed, NOW), None, "{at}");
        }
        for wrong in
            ["", "A", &token[..59], &format!("{token}A"), &format!("{token}="), &"é".repeat(30)]
        {
            assert_eq!(links.verify(wrong, NOW), None, "{wrong}");
        }
        assert_eq!(self::links(b"two").verify(&token, NOW), None);
        let between = Links::new(Keys::derive(b"two", Some(b"one")).media, HALF_AN_HOUR);
        assert_eq!(between.verify(&token, NOW), Some(claim(Variant::Original)));
        let new = signed(&between, Variant::Original, NOW);
        assert_eq!((links.verify(&new, NOW), new == token), (None, false), "it signs with its own");
    }
}
