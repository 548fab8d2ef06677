use std::error::Error;
use std::fmt::{self, Write};

/// An error and its causes, one after the other, each message once. Texts of a service are shown as [`Foreign`].
///
/// The SDK's errors repeat themselves down the chain, and its own `DisplayErrorContext` adds each once more as Rust shows it to its developers.
#[derive(Clone, Copy, Debug)]
pub struct Causes<'a>(pub &'a (dyn Error + 'static));

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut said: Vec<String> = Vec::new();
        for error in std::iter::successors(Some(self.0), |error| (**error).source()) {
            let message = Foreign(&error.to_string()).to_string();
            if message.is_empty() || said.iter().any(|earlier| earlier.contains(&message)) {
                continue;
            }
            // What says all of the one before, and more, takes its place.
            if said.last().is_some_and(|last| message.contains(last.as_str())) {
                said.pop();
            }
            said.push(message);
        }
        f.write_str(&said.join(": "))
    }
}

/// A text that comes from outside: control characters escaped, so that it cannot forge a line of a log or command a terminal, and cut at
/// 500 characters. Of a signature error the canonical request is left out, which can hold the session token.
#[derive(Clone, Copy, Debug)]
pub struct Foreign<'a>(pub &'a str);

impl fmt::Display for Foreign<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = without_canonical_request(self.0);
        let mut room = MOST_CHARACTERS;
        for character in text.chars() {
            let escaped = is_unfit(character).then(|| character.escape_unicode());
            let length = escaped.as_ref().map_or(1, ExactSizeIterator::len);
            if length > room {
                return f.write_char('…');
            }
            room -= length;
            match escaped {
                Some(escaped) => write!(f, "{escaped}")?,
                None => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// Ends a line, moves a terminal's cursor, or turns the direction of the text that follows.
fn is_unfit(character: char) -> bool {
    let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    character.is_control() || turns
}

/// "… The Canonical String for this request should have been 'POST … x-amz-security-token:…'".
fn without_canonical_request(text: &str) -> &str {
    // The byte that is looked at stands for itself in UTF-8, and lower case keeps lengths: places are the same in both.
    let lower = text.to_ascii_lowercase();
    let begins = MARKS.iter().filter_map(|mark| lower.find(mark)).min();
    begins.map_or(text, |begins| text[..begins].trim_end_matches(|c: char| c.is_whitespace() || c == '<' || c == '\''))
}

/// A line that one can read; the service's own messages are shorter.
const MOST_CHARACTERS: usize = 500;

/// How the part of a signature error begins that repeats the request.
const MARKS: [&str; 6] = [
    "the canonical string",
    "canonical request",
    "canonicalrequest",
    "the string-to-sign",
    "stringtosign",
    "x-amz-security-token",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Link(&'static str, Option<Box<Self>>);

    impl fmt::Display for Link {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Link {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_ref().map(|cause| &**cause as _)
        }
    }

    fn chain(messages: &[&'static str]) -> String {
        let mut link = None;
        for message in messages.iter().rev() {
            link = Some(Box::new(Link(message, link)));
        }
        Causes(&*link.expect("a message")).to_string()
    }

    #[test]
    fn each_message_of_a_chain_is_said_once() {
        assert_eq!(
            chain(&["ListShards failed", "service error", "slow down"]),
            "ListShards failed: service error: slow down"
        );
        assert_eq!(chain(&["a: b: c", "b: c", "c"]), "a: b: c", "an error that shows its cause itself");
        assert_eq!(chain(&["failed", "slow down", "Throttled: slow down", ""]), "failed: Throttled: slow down");
        assert_eq!(chain(&["one\nline"]), "one\\u{a}line");
    }

    #[test]
    fn a_foreign_text_stays_on_its_line_and_is_cut() {
        let shown = |text: &str| Foreign(text).to_string();
        assert_eq!(shown("Rate exceeded for shard ä"), "Rate exceeded for shard ä");
        assert_eq!(shown("a\r\nERROR forged\u{1b}[2J\u{202e}\0"), "a\\u{d}\\u{a}ERROR forged\\u{1b}[2J\\u{202e}\\u{0}");
        assert_eq!(shown(&"x".repeat(500)), "x".repeat(500));
        assert_eq!(shown(&"ä".repeat(5 << 20)), "ä".repeat(500) + "…");
        assert!(shown(&"\n".repeat(500)).chars().count() <= 501, "what is escaped is longer");
    }

    #[test]
    fn a_signature_error_is_shown_without_the_request() {
        let message = "The request signature we calculated does not match the signature you provided. Check your key.\n\nThe Canonical \
                       String for this request should have been\n'POST\n/\n\nx-amz-security-token:SECRET\n'\n\nThe String-to-Sign should \
                       have been\n'AWS4-HMAC-SHA256\nSECRET'";
        let short = "The request signature we calculated does not match the signature you provided. Check your key.";
        assert_eq!(Foreign(message).to_string(), short);
        assert_eq!(Foreign("<CanonicalRequest>POST").to_string(), "");
        assert!(!Foreign("İ: headers were X-Amz-Security-Token:SECRET").to_string().contains("SECRET"));
    }
}
