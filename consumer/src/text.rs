//! Makes text from outside fit for one line of a log.

use std::fmt::{self, Write};

/// Shows text from outside (a key, an ID, an attribute, a service's message) with its control characters escaped, and cut after
/// [`LONGEST`] characters. Such text can neither forge a log line nor fill the log.
pub(crate) const fn escaped(text: &str) -> Escaped<'_> {
    Escaped(text)
}

/// See [`escaped`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The usual case allocates nothing and keeps the caller's width.
        if self.0.len() <= LONGEST && !self.0.contains(is_odd) {
            return f.pad(self.0);
        }
        for sign in self.0.chars().take(LONGEST) {
            if is_odd(sign) {
                write!(f, "{}", sign.escape_default())?;
            } else {
                f.write_char(sign)?;
            }
        }
        let cut = self.0.chars().skip(LONGEST).count();
        if cut > 0 { write!(f, "… ({cut} more characters)") } else { Ok(()) }
    }
}

/// Returns `true` for control characters, line and paragraph separators, and signs that change the direction of text.
fn is_odd(sign: char) -> bool {
    sign.is_control()
        || matches!(sign, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The longest text from outside in one log line.
const LONGEST: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_without_odd_signs_stays_as_it_is() {
        assert_eq!(escaped("shardId-000000000007").to_string(), "shardId-000000000007");
        assert_eq!(escaped("größe „x“").to_string(), "größe „x“");
        assert_eq!(format!("{:>6}|", escaped("abc")), "   abc|");
    }

    #[test]
    fn a_key_cannot_forge_a_line() {
        let forged = "a\n2026-01-01 ERROR all is lost\u{1b}[2J\u{202e}";
        let shown = escaped(forged).to_string();
        assert!(!shown.contains(['\n', '\u{1b}', '\u{202e}']), "{shown}");
        assert_eq!(shown, "a\\n2026-01-01 ERROR all is lost\\u{1b}[2J\\u{202e}");
    }

    #[test]
    fn a_value_of_300_kb_does_not_fill_the_log() {
        let shown = escaped(&"ä".repeat(150_000)).to_string();
        assert_eq!(shown.chars().filter(|sign| *sign == 'ä').count(), LONGEST);
        assert!(shown.ends_with("… (149500 more characters)"), "{shown}");
    }
}
