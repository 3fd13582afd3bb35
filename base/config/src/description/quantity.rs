//! Durations and sizes as people write them: "1.5ms", "16MiB".
use alloc::format;
use alloc::string::String;

/// The longest duration that a description may hold, in nanoseconds: some 31 years.
/// Sums and products of a few of them with small numbers stay within 64 bits.
pub const DURATION_MAX: u64 = 1_000_000_000_000_000_000;

const UNITS: [(&str, u32); 4] = [("ns", 0), ("us", 3), ("ms", 6), ("s", 9)];

/// The nanoseconds of a decimal number with one of the units ns, us, ms, s.
///
/// # Errors
/// The reason, for the reader of the description.
pub fn parse_duration(text: &str) -> Result<u64, String> {
    let expected = || {
        format!(
            "\"{text}\" is not a duration: write a number and ns, us, ms or s, such as \"1.5ms\""
        )
    };
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let &(_, exponent) = UNITS
        .iter()
        .find(|(name, _)| *name == unit)
        .ok_or_else(expected)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    if whole.is_empty() || fraction.is_empty() || fraction.contains('.') {
        return Err(expected());
    }
    let fraction = fraction.trim_end_matches('0');
    if fraction.len() > exponent as usize {
        return Err(format!("\"{text}\" is not a whole number of nanoseconds"));
    }
    let too_long = || format!("\"{text}\" is too long: the longest duration is \"1000000000s\"");
    let scale = 10_u64.pow(exponent);
    // An empty string of digits is zero here; anything else has been checked above.
    let digits = |text: &str| {
        text.bytes().try_fold(0_u64, |sum, byte| {
            sum.checked_mul(10)?.checked_add(u64::from(byte - b'0'))
        })
    };
    let fraction_scale = 10_u64.pow(exponent - fraction.len() as u32);
    let nanos = digits(whole)
        .and_then(|whole| whole.checked_mul(scale))
        .and_then(|nanos| nanos.checked_add(digits(fraction)? * fraction_scale))
        .ok_or_else(too_long)?;
    if nanos > DURATION_MAX {
        Err(too_long())
    } else {
        Ok(nanos)
    }
}

/// The bytes of a whole number with one of the units B, KiB, MiB, GiB.
///
/// # Errors
/// The reason, for the reader of the description.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let expected = || {
        format!(
            "\"{text}\" is not a size: write a whole number and B, KiB, MiB or GiB, such as \"16MiB\""
        )
    };
    let digits_end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let shift = match unit {
        "B" => 0,
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(expected()),
    };
    if number.is_empty() {
        return Err(expected());
    }
    let bytes = number
        .parse::<u64>()
        .ok()
        .and_then(|count| count.checked_mul(1 << shift));
    bytes.ok_or_else(|| format!("\"{text}\" is beyond what 64 bits can count"))
}

/// A size in the largest unit that leaves it whole.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let shift = match bytes {
        0 => 0,
        _ => (bytes.trailing_zeros() / 10 * 10).min(30),
    };
    let unit = ["B", "KiB", "MiB", "GiB"][shift as usize / 10];
    format!("{}{unit}", bytes >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_exact_nanoseconds() {
        for (text, nanos) in [
            ("0ms", 0),
            ("1ns", 1),
            ("1.5ms", 1_500_000),
            ("30ms", 30_000_000),
            ("0.001us", 1),
            ("1.50us", 1_500),
            ("007s", 7_000_000_000),
            ("2.0ns", 2),
            ("1.000000001s", 1_000_000_001),
            ("1000000000s", DURATION_MAX),
        ] {
            assert_eq!(parse_duration(text), Ok(nanos), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_duration_says_why() {
        for text in [
            "", "ms", "1", "1.5", "1 ms", " 1ms", "-1ms", "+1ms", "1e3ms", ".5ms", "1.ms",
            "1.2.3ms", "1m", "1MS", "1,5ms", "١ms", "1µs", "1h",
        ] {
            let reason = parse_duration(text).unwrap_err();
            assert!(
                reason.contains("write a number and ns, us, ms or s"),
                "{text}: {reason}"
            );
        }
        for text in ["1.5ns", "0.0001us", "1.0000000001s"] {
            assert!(
                parse_duration(text)
                    .unwrap_err()
                    .contains("whole number of nanoseconds"),
                "{text}"
            );
        }
        for text in [
            "1000000000.1s",
            "18446744073709551616ns",
            "99999999999999999999999s",
        ] {
            assert!(
                parse_duration(text).unwrap_err().contains("too long"),
                "{text}"
            );
        }
    }

    #[test]
    fn sizes_are_whole_and_print_as_written() {
        for (text, bytes) in [
            ("0B", 0),
            ("4096B", 4096),
            ("64KiB", 65536),
            ("16MiB", 16 << 20),
            ("2GiB", 2 << 30),
        ] {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
        for (bytes, text) in [
            (0, "0B"),
            (4097, "4097B"),
            (4096, "4KiB"),
            (3 << 20, "3MiB"),
        ] {
            assert_eq!(show_size(bytes), text);
        }
        for text in [
            "",
            "16",
            "16MB",
            "1.5MiB",
            "-1B",
            "16 MiB",
            "MiB",
            "99999999999GiB",
        ] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
