//! Keys as text: the format says they are UTF-8, but encoders have written other things.

use bytes::Bytes;
use bytestring::ByteString;

/// A part of the data as text, uncopied when it is UTF-8; else a copy in which U+FFFD stands for what is not.
pub(crate) fn text(data: &Bytes, part: &[u8]) -> ByteString {
    ByteString::try_from(data.slice_ref(part)).unwrap_or_else(|_| lossy(part).into())
}

/// What Java's `new String(bytes, UTF_8)` makes of the bytes, which is what the KCL shows and hashes.
///
/// It differs from Rust's lossy conversion for a UTF-16 surrogate written in three bytes: Java replaces it as one.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        match str::from_utf8(rest) {
            Ok(valid) => {
                text.push_str(valid);
                return text;
            }
            Err(error) => {
                let (valid, broken) = rest.split_at(error.valid_up_to());
                text.extend(str::from_utf8(valid));
                text.push(char::REPLACEMENT_CHARACTER);
                let len = match broken {
                    [0xED, 0xA0..=0xBF, 0x80..=0xBF, ..] => 3,
                    [0xED, 0xA0..=0xBF, ..] => 2,
                    // Without a length the end of the input cut the character off.
                    _ => error.error_len().unwrap_or(broken.len()),
                };
                rest = &broken[len..];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::text;

    #[test]
    fn utf8_is_not_copied() {
        let bytes = Bytes::from_static("pk-üñî".as_bytes());
        assert_eq!(text(&bytes, &bytes[3..]).as_bytes().as_ptr(), bytes[3..].as_ptr());
    }

    #[test]
    fn what_is_not_utf8_reads_as_in_java() {
        // Right-hand sides: `new String(bytes, StandardCharsets.UTF_8)` of OpenJDK 17.
        let cases: [(&[u8], &str); 11] = [
            (b"a\xFFb", "a\u{FFFD}b"),
            (b"\xC3", "\u{FFFD}"),
            (b"\xE3\x82", "\u{FFFD}"),
            (b"\xE3\x82x", "\u{FFFD}x"),
            (b"\xED\xA0\x80z", "\u{FFFD}z"),
            (b"\xED\xA0z", "\u{FFFD}z"),
            (b"\xED\xA0", "\u{FFFD}"),
            (b"\xED\xA0\xC3", "\u{FFFD}\u{FFFD}"),
            (b"\xE0\x80\x80", "\u{FFFD}\u{FFFD}\u{FFFD}"),
            (b"\xF0\x90\x80", "\u{FFFD}"),
            (b"\xF4\x90\x80\x80", "\u{FFFD}\u{FFFD}\u{FFFD}\u{FFFD}"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(text(&Bytes::from_static(bytes), bytes), expected, "{bytes:x?}");
        }
    }
}
