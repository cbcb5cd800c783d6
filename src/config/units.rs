//! Values with units: durations and sizes as people write them.

use std::fmt;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(u64);

impl ByteSize {
    /// `count` bytes.
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// `count` times 1,048,576 bytes.
    pub const fn mib(count: u64) -> Self {
        Self(count * 1024 * 1024)
    }

    /// The number of bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }

    /// The number of bytes as a length in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(u64, &str); 3] = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
        match UNITS.into_iter().find(|(factor, _)| self.0 > 0 && self.0.is_multiple_of(*factor)) {
            Some((factor, unit)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

/// Reads `10MiB`, `512 KiB`, `5MB`, `100B`, within `allowed`.
pub(super) fn byte_size(text: &str, allowed: RangeInclusive<ByteSize>) -> Result<ByteSize, String> {
    const UNITS: [(&str, u64); 7] = [
        ("b", 1),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
    ];
    let wrong = || format!("{text:?} is not a size such as 10MiB");
    let size = ByteSize(scaled(text, &UNITS).ok_or_else(wrong)?);
    if !allowed.contains(&size) {
        return Err(format!("{size} is not between {} and {}", allowed.start(), allowed.end()));
    }
    Ok(size)
}

/// Reads `20s`, `250ms`, `30m`, `12h`, `7d`, within `allowed`.
pub(super) fn duration(text: &str, allowed: RangeInclusive<Duration>) -> Result<Duration, String> {
    const UNITS: [(&str, u64); 5] =
        [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let wrong = || format!("{text:?} is not a duration such as 20s or 30m");
    let duration = Duration::from_millis(scaled(text, &UNITS).ok_or_else(wrong)?);
    if !allowed.contains(&duration) {
        return Err(format!(
            "{text:?} is not between {:?} and {:?}",
            allowed.start(),
            allowed.end()
        ));
    }
    Ok(duration)
}

/// The whole number in front times its unit's factor. A number without a unit is no value: nobody
/// remembers whether it meant seconds or milliseconds. Only `0` is the same in all of them.
fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..end].parse().ok()?;
    let unit = text[end..].trim().to_ascii_lowercase();
    if unit.is_empty() && number == 0 {
        return Some(0);
    }
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.checked_mul(*factor)
}

/// Reads a whole number within `allowed`.
pub(super) fn number(text: &str, allowed: RangeInclusive<u32>) -> Result<u32, String> {
    let number = text.trim().parse::<u32>().ok().filter(|number| allowed.contains(number));
    number.ok_or_else(|| {
        format!("{text:?} is not a whole number from {} to {}", allowed.start(), allowed.end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_durations_are_read_with_their_units() {
        let any = ByteSize(0)..=ByteSize(u64::MAX);
        for (text, bytes) in
            [("10MiB", 10 << 20), ("5 kib", 5 << 10), ("3MB", 3_000_000), ("7B", 7), ("0", 0)]
        {
            assert_eq!(byte_size(text, any.clone()), Ok(ByteSize(bytes)), "{text}");
        }
        let any = Duration::ZERO..=Duration::MAX;
        for (text, millis) in
            [("20s", 20_000), ("250ms", 250), ("30 m", 1_800_000), ("2d", 172_800_000)]
        {
            assert_eq!(duration(text, any.clone()), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn a_number_without_a_unit_or_beyond_the_bounds_is_refused() {
        let sizes = ByteSize(1)..=ByteSize::mib(1);
        for text in
            ["10", "", "MiB", "-1B", "1.5MiB", "10 s", "2MiB", "0B", "99999999999999999999B"]
        {
            assert!(byte_size(text, sizes.clone()).is_err(), "{text}");
        }
        let durations = Duration::from_secs(1)..=Duration::from_secs(60);
        for text in
            ["10", "", "s", "-1s", "1.5s", "10MiB", "61s", "0s", "999ms", "18446744073709551615d"]
        {
            assert!(duration(text, durations.clone()).is_err(), "{text}");
        }
    }

    #[test]
    fn a_size_is_shown_in_the_largest_unit_that_divides_it() {
        assert_eq!(ByteSize::mib(5).to_string(), "5MiB");
        assert_eq!(ByteSize::new(1500).to_string(), "1500B");
        assert_eq!(ByteSize::new(0).to_string(), "0B");
    }
}
