//! Text that no log, error or `Debug` may show, wiped when dropped.

use zeroize::Zeroizing;

/// A key, a password or a token.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text over; the caller keeps no copy.
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// Where this secret stands in `text`, in capitals or not. One of a few letters stands nowhere: it would take half of
    /// any sentence with it.
    fn places(&self, text: &str) -> Vec<(usize, usize)> {
        let (secret, bytes) = (self.expose().as_bytes(), text.as_bytes());
        if secret.len() < 4 {
            return Vec::new();
        }
        let is_here = |at: &usize| bytes[*at..*at + secret.len()].eq_ignore_ascii_case(secret);
        let last = bytes.len().checked_sub(secret.len());
        last.map_or(Vec::new(), |last| (0..=last).filter(is_here).map(|at| (at, at + secret.len())).collect())
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// `text` without any of these secrets. Their places are found before one of them is taken out, so that a secret that is
/// a part of another leaves nothing of it.
pub(crate) fn redacted<'a>(secrets: impl Iterator<Item = &'a Secret>, text: &str) -> String {
    let mut places: Vec<_> = secrets.flat_map(|secret| secret.places(text)).collect();
    places.sort_unstable();
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for (start, end) in places {
        if start >= from {
            shown.push_str(text.get(from..start).unwrap_or_default());
            shown.push_str("(secret)");
        }
        from = from.max(end);
    }
    shown + text.get(from..).unwrap_or_default()
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("(secret)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_redacted_in_any_case_and_whole() {
        let secrets =
            ["KEY-1234", "KEY-1234-5678", "abc", "\u{e4}\u{f6}\u{fc}\u{df}"].map(|text| Secret::new(text.to_owned()));
        for (text, expected) in [
            ("no key-1234-5678 here", "no (secret) here"),
            ("KEY-1234", "(secret)"),
            ("KEY-1234KEY-1234", "(secret)(secret)"),
            ("two KEY-1234 and Key-1234-5678.", "two (secret) and (secret)."),
            ("abc stays", "abc stays"),
            ("an \u{e4}\u{f6}\u{fc}\u{df} too", "an (secret) too"),
            ("", ""),
        ] {
            assert_eq!(redacted(secrets.iter(), text), expected);
        }
    }
}
