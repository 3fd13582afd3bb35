//! Numbers in a page: text that the browser decodes without reading digits.
use serde::Serialize;

/// Numbers as base64 of little-endian doubles: exact up to 2^53, half the size of
/// decimal digits.
pub(crate) struct Floats(pub(crate) Vec<f64>);

impl Serialize for Floats {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const DIGITS: &[u8; 64] =
            b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let bytes: Vec<u8> = self
            .0
            .iter()
            .flat_map(|number| number.to_le_bytes())
            .collect();
        let mut text = String::with_capacity(bytes.len() * 4 / 3 + 4);
        for chunk in bytes.chunks(3) {
            let byte = |position: usize| u32::from(chunk.get(position).copied().unwrap_or(0));
            let group = byte(0) << 16 | byte(1) << 8 | byte(2);
            for digit in 0..4 {
                text.push(match digit <= chunk.len() {
                    true => DIGITS[(group >> (18 - 6 * digit)) as usize & 63].into(),
                    false => '=',
                });
            }
        }
        serializer.serialize_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_base64_of_their_bytes() {
        let text = |numbers: &[f64]| serde_json::to_string(&Floats(numbers.to_vec())).unwrap();
        assert_eq!(text(&[]), "\"\"");
        // 1.0 is 00 00 00 00 00 00 F0 3F.
        assert_eq!(text(&[1.0]), "\"AAAAAAAA8D8=\"");
        assert_eq!(
            text(&[1.0, 1.0, 1.0]),
            "\"AAAAAAAA8D8AAAAAAADwPwAAAAAAAPA/\""
        );
    }
}
