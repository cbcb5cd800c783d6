//! Messages: what a client asks to have stored, and what stands stored.

use serde::{Deserialize, Serialize};

use super::text::{Invalid, check_prose, is_invisible};
use super::{Attachment, RoomId, UserId, Username};

/// The text of a message: at most [`MessageText::MAX_BYTES`] bytes, no control characters but tab and
/// line ends.
///
/// The limit counts bytes of UTF-8 rather than characters, so it also bounds the stored document and the
/// bus payload. An emoji can take 4 bytes or more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MessageText(String);

impl MessageText {
    /// 16 KiB, a sixty-fourth of the 1 MiB that NATS accepts by default (`max_payload`).
    pub const MAX_BYTES: usize = 16 * 1024;

    /// Checks `text`. Whether it may be blank depends on the message: see [`Draft::parse`].
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the rule that is broken.
    pub fn parse(text: String) -> Result<Self, Invalid> {
        if text.len() > Self::MAX_BYTES {
            let message = format!("must be at most {} bytes of UTF-8", Self::MAX_BYTES);
            return Err(Invalid::new("content", message));
        }
        check_prose("content", &text)?;
        Ok(Self(text))
    }

    /// The text as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn is_blank(&self) -> bool {
        self.0.chars().all(|c| c.is_whitespace() || is_invisible(c))
    }
}

/// What a message is, as its author declared it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MessageType {
    /// Words.
    Text,
    /// A picture, with words or without.
    Image,
    /// Any other file, with words or without.
    File,
}

/// The client's key that makes a retry safe: 1 to 64 characters. One made by a node, where the client gave
/// none, begins with `~`, which clients may not use.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub struct ClientId(String);

impl ClientId {
    /// The longest key, in characters.
    pub const MAX_CHARS: usize = 64;

    /// Checks a key that a client gave.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the rule that is broken.
    pub fn parse(text: String) -> Result<Self, Invalid> {
        let chars = text.chars().count();
        if !(1..=Self::MAX_CHARS).contains(&chars) || text.chars().any(char::is_control) {
            let message =
                format!("must be 1 to {} characters, none a control character", Self::MAX_CHARS);
            return Err(Invalid::new("client_id", message));
        }
        if text.starts_with('~') {
            return Err(Invalid::new("client_id", "must not begin with ~"));
        }
        Ok(Self(text))
    }

    /// The key that stands for an event without one.
    pub fn minted(nonce: super::Nonce) -> Self {
        Self(format!("~{nonce}"))
    }

    /// Takes back what was checked when it was stored.
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    /// The key.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The key if the client gave it, `None` if a node made it.
    pub fn given(&self) -> Option<&str> {
        (!self.0.starts_with('~')).then_some(self.0.as_str())
    }
}

/// A message before it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Where to.
    pub room: RoomId,
    /// The words; blank only beside an attachment.
    pub text: MessageText,
    /// What the author says it is.
    pub message_type: MessageType,
    /// The client's key for retries.
    pub client_id: Option<ClientId>,
}

impl Draft {
    /// Checks the parts of a message together; `is_attached` says whether it comes with a file. A text must not be blank, a picture or a file needs an
    /// attachment, a text has none.
    ///
    /// # Errors
    ///
    /// [`Invalid`] names the rule that is broken.
    pub fn parse(
        room: RoomId,
        text: MessageText,
        message_type: MessageType,
        client_id: Option<ClientId>,
        is_attached: bool,
    ) -> Result<Self, Invalid> {
        match (message_type, is_attached) {
            (MessageType::Text, false) if text.is_blank() => {
                Err(Invalid::new("content", "must not be blank"))
            }
            (MessageType::Text, true) => Err(Invalid::new(
                "message_type",
                "must be image or file when something is attached",
            )),
            (MessageType::Image | MessageType::File, false) => {
                Err(Invalid::new("file", "must be given (or attachment_id) for an image or a file"))
            }
            _ => Ok(Self { room, text, message_type, client_id }),
        }
    }
}

/// The lasting part of a stored message, as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Who wrote it.
    pub sender: UserId,
    /// The writer's name when it was stored.
    pub username: Username,
    /// The words.
    pub text: String,
    /// What the author said it is.
    pub message_type: MessageType,
    /// What is attached.
    pub attachment: Option<Attachment>,
    /// Recognises a retry of the same content, also when nothing else is left of the message. Keyed, so
    /// that it tells nothing to who reads the store.
    pub digest: Digest,
}

impl Message {
    /// Whether the two have the same words and the same upload. The same bytes in another upload only their digests show.
    pub fn says_the_same(&self, other: &Self) -> bool {
        let upload = |message: &Self| message.attachment.as_ref().map(|attached| attached.id);
        self.text == other.text
            && self.message_type == other.message_type
            && upload(self) == upload(other)
    }
}

/// 16 bytes that stand for the content of a message: see [`Message::digest`].
pub type Digest = [u8; 16];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Nonce;

    fn draft(text: &str, message_type: MessageType, attached: bool) -> Result<Draft, Invalid> {
        let text = MessageText::parse(text.to_owned())?;
        Draft::parse(RoomId::new(1, 1), text, message_type, None, attached)
    }

    #[test]
    fn the_parts_of_a_message_must_fit_together() {
        use MessageType::{File, Image, Text};
        let table = [
            ("hi", Text, false, true),
            (" \n", Text, false, false),
            ("\u{200b}\u{3164} \u{2800}\u{202e}", Text, false, false),
            ("\u{2764}\u{fe0f}", Text, false, true),
            ("hi", Text, true, false),
            ("", Image, true, true),
            ("look", File, true, true),
            ("look", Image, false, false),
        ];
        for (text, kind, attached, right) in table {
            assert_eq!(draft(text, kind, attached).is_ok(), right, "{text:?} {kind:?} {attached}");
        }
    }

    #[test]
    fn text_is_bounded_in_bytes() {
        assert!(MessageText::parse("a".repeat(MessageText::MAX_BYTES)).is_ok());
        assert!(MessageText::parse("a".repeat(MessageText::MAX_BYTES + 1)).is_err());
        assert!(MessageText::parse("a\0".to_owned()).is_err());
    }

    #[test]
    fn a_client_cannot_use_a_key_of_the_nodes() {
        assert!(ClientId::parse("~1".to_owned()).is_err());
        assert!(ClientId::parse(String::new()).is_err());
        assert!(ClientId::parse("é".repeat(64)).is_ok());
        assert!(ClientId::parse("é".repeat(65)).is_err());
        assert_eq!(ClientId::minted(Nonce([0; 16])).given(), None);
    }
}
