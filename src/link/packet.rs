//! As much of Socket.IO as shows that half a packet is here: an event that announces a file, without the file.
//!
//! The library keeps such a half until the other comes, and looks at its age only then. So whoever reads the bytes reads
//! along, and ends a connection whose client leaves it at that.

/// The first characters of one packet: `45<number>-` or `46<number>-` announces that many attachments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Prefix {
    /// Nothing of it is here.
    #[default]
    Begin,
    /// `4`: a message of Engine.IO.
    Message,
    /// `45` or `46`, then digits, which may all be zero until now.
    Count { any: bool },
    /// It announces attachments.
    Half,
    /// It is whole in itself.
    Whole,
}

impl Prefix {
    /// With the packet's next bytes.
    pub(crate) fn with(self, bytes: &[u8]) -> Self {
        let mut prefix = self;
        for byte in bytes {
            prefix = match (prefix, byte) {
                (Self::Begin, b'4') => Self::Message,
                (Self::Message, b'5' | b'6') => Self::Count { any: false },
                (Self::Count { any }, b'0') => Self::Count { any },
                (Self::Count { .. }, b'1'..=b'9') => Self::Count { any: true },
                (Self::Count { any: true }, b'-') => Self::Half,
                _ => prefix.decided(),
            };
            if matches!(prefix, Self::Half | Self::Whole) {
                break;
            }
        }
        prefix
    }

    /// What it is when nothing follows that would make it another.
    fn decided(self) -> Self {
        if self == Self::Half { Self::Half } else { Self::Whole }
    }
}

/// Reads along what the client of a WebSocket sends.
#[derive(Debug, Default)]
pub(super) struct Frames {
    head: Head,
    /// What the running frame still brings.
    left: u64,
    mask: [u8; 4],
    /// Bytes of the running frame that were unmasked.
    unmasked: usize,
    message: Message,
    awaits_file: bool,
}

/// The head of a frame, as far as it is here.
#[derive(Debug, Default)]
struct Head {
    bytes: [u8; 14],
    have: usize,
}

/// The running message, of one frame or several.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Message {
    #[default]
    None,
    Text(Prefix),
    Binary,
}

const TEXT: u8 = 1;
const BINARY: u8 = 2;

impl Head {
    /// Takes what it needs of `bytes`; whether it is whole.
    fn take(&mut self, bytes: &mut &[u8]) -> bool {
        while self.have < self.needs() {
            let Some((first, rest)) = bytes.split_first() else { return false };
            self.bytes[self.have] = *first;
            self.have += 1;
            *bytes = rest;
        }
        true
    }

    fn needs(&self) -> usize {
        if self.have < 2 {
            return 2;
        }
        let mask = if self.bytes[1] & 0x80 == 0 { 0 } else { 4 };
        2 + self.extended() + mask
    }

    fn extended(&self) -> usize {
        match self.bytes[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        }
    }

    fn length(&self) -> u64 {
        match self.extended() {
            0 => u64::from(self.bytes[1] & 0x7f),
            some => self.bytes[2..2 + some].iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)),
        }
    }

    fn mask(&self) -> [u8; 4] {
        let at = 2 + self.extended();
        let mut mask = [0; 4];
        if self.bytes[1] & 0x80 != 0 {
            mask.copy_from_slice(&self.bytes[at..at + 4]);
        }
        mask
    }

    fn is_last(&self) -> bool {
        self.bytes[0] & 0x80 != 0
    }

    fn opcode(&self) -> u8 {
        self.bytes[0] & 0x0f
    }

    fn is_control(&self) -> bool {
        self.opcode() >= 8
    }
}

impl Frames {
    /// From the beginning of a connection, before which a file may have been announced.
    pub(super) fn new(awaits_file: bool) -> Self {
        Self { awaits_file, ..Self::default() }
    }

    /// Whether a packet is half here, and its file is awaited.
    pub(super) fn awaits_file(&self) -> bool {
        self.awaits_file
    }

    /// Reads along.
    pub(super) fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.left == 0 {
                if !self.head.take(&mut bytes) {
                    return;
                }
                self.begin_frame();
            }
            let here = self.left.min(bytes.len() as u64);
            let (payload, rest) = bytes.split_at(here as usize);
            self.payload(payload);
            bytes = rest;
            self.left -= here;
            if self.left == 0 {
                self.end_frame();
            }
        }
    }

    fn begin_frame(&mut self) {
        (self.left, self.mask, self.unmasked) = (self.head.length(), self.head.mask(), 0);
        match self.head.opcode() {
            TEXT => self.message = Message::Text(Prefix::Begin),
            BINARY => self.message = Message::Binary,
            _ => {} // More of the same message, or between its frames.
        }
    }

    fn payload(&mut self, payload: &[u8]) {
        let Message::Text(prefix) = &mut self.message else { return };
        if self.head.is_control() {
            return;
        }
        for byte in payload {
            if matches!(prefix, Prefix::Half | Prefix::Whole) {
                return;
            }
            *prefix = prefix.with(&[byte ^ self.mask[self.unmasked % 4]]);
            self.unmasked += 1;
        }
    }

    fn end_frame(&mut self) {
        let is_end = self.head.is_last() && !self.head.is_control();
        self.head = Head::default();
        if !is_end {
            return;
        }
        match std::mem::take(&mut self.message) {
            Message::Text(Prefix::Half) => self.awaits_file = true,
            Message::Binary => self.awaits_file = false,
            Message::Text(_) | Message::None => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as clients send them.
    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [7, 0, 255, 34];
        let mut frame = vec![first];
        match payload.len() {
            len @ 0..126 => frame.push(0x80 | len as u8),
            len @ 126..65_536 => {
                frame.push(0x80 | 126);
                frame.extend((len as u16).to_be_bytes());
            }
            len => {
                frame.push(0x80 | 127);
                frame.extend((len as u64).to_be_bytes());
            }
        }
        frame.extend(mask);
        frame.extend(payload.iter().enumerate().map(|(nth, byte)| byte ^ mask[nth % 4]));
        frame
    }

    /// Whether a file is awaited after all of `frames`, in whatever pieces they come.
    fn awaits(frames: &[Vec<u8>]) -> bool {
        let bytes = frames.concat();
        let results = [1, 2, 7, 4096, usize::MAX].map(|size| {
            let mut reading = Frames::default();
            for piece in bytes.chunks(size.min(bytes.len())) {
                reading.read(piece);
            }
            reading.awaits_file()
        });
        assert!(results.iter().all(|one| *one == results[0]), "{results:?}");
        results[0]
    }

    #[test]
    fn an_event_that_announces_a_file_is_half_until_it_comes() {
        let half = frame(0x81, br#"451-["chat",{"file":{"_placeholder":true,"num":0}}]"#);
        let file = frame(0x82, &[9; 70_000]);
        let (ping, other) = (frame(0x89, b"451-"), frame(0x81, b"42[\"chat\"]"));
        assert!(awaits(std::slice::from_ref(&half)));
        assert!(awaits(&[half.clone(), ping.clone(), other.clone()]));
        assert!(!awaits(&[half.clone(), file.clone()]));
        assert!(!awaits(&[half.clone(), ping, file.clone(), other]));
        assert!(awaits(&[half.clone(), file, half]));
        for whole in ["450-[]", "45-[]", "42[\"451-\"]", "3", "", "451", "5451-", "40451-", "4500-"]
        {
            assert!(!awaits(&[frame(0x81, whole.as_bytes())]), "{whole}");
        }
        for half in ["461-3[]", "4599999999-[]", "451-/ns,[]", "4501-"] {
            assert!(awaits(&[frame(0x81, half.as_bytes())]), "{half}");
        }
    }

    #[test]
    fn a_message_in_several_frames_is_one() {
        let pieces =
            [frame(0x01, b"4"), frame(0x89, b"?"), frame(0x00, b"5"), frame(0x80, b"1-[]")];
        assert!(!awaits(&pieces[..3]));
        assert!(awaits(&pieces));
        let file = [frame(0x02, &[0; 200]), frame(0x80, &[0; 3])];
        assert!(awaits(&[&pieces[..], &file[..1]].concat()));
        assert!(!awaits(&[&pieces[..], &file[..]].concat()));
        assert!(!awaits(&[frame(0x01, b"42["), frame(0x80, b"451-")]));
        assert!(!awaits(&[frame(0x01, b""), frame(0x80, b"")]));
    }
}
