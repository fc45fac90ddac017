//! Text that no log, error or `Debug` shows. It is wiped when it is dropped.

use zeroize::Zeroizing;

/// A key, a password or a token.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes ownership of the text. The caller keeps no copy.
    pub fn new(text: String) -> Secret {
        Secret(Zeroizing::new(text))
    }

    /// Returns the ranges of `text` that hold this secret, in upper or lower case.
    ///
    /// A secret of fewer than four letters is never found, because redacting it would damage ordinary words.
    fn occurrences(&self, text: &str) -> Vec<(usize, usize)> {
        let (secret, bytes) = (self.expose().as_bytes(), text.as_bytes());
        if secret.len() < 4 {
            return Vec::new();
        }
        let is_here = |at: &usize| bytes[*at..*at + secret.len()].eq_ignore_ascii_case(secret);
        let last = bytes.len().checked_sub(secret.len());
        last.map_or(Vec::new(), |last| (0..=last).filter(is_here).map(|at| (at, at + secret.len())).collect())
    }

    /// Returns the text. Call it only where the secret is used.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// The part of a stack that is wiped. A call needs less below the function that begins it.
const WIPED_BYTES: usize = 48 * 1024;

/// Overwrites what finished functions have left on this thread's stack below the caller. The compiler may have copied parts
/// of a secret there, where no destructor reaches them.
#[inline(never)]
pub(crate) fn wipe_stack() {
    let mut left = [0_u8; WIPED_BYTES];
    // Otherwise the compiler would leave out a write that nobody reads.
    std::hint::black_box(&mut left);
}

/// Returns `text` with each of these secrets replaced by `(secret)`.
///
/// All ranges are found before the first replacement. Otherwise a secret that is part of another would leave the rest
/// of the longer one.
pub(crate) fn redacted(secrets: &[&Secret], text: &str) -> String {
    let mut ranges: Vec<_> = secrets.iter().flat_map(|secret| secret.occurrences(text)).collect();
    ranges.sort_unstable();
    let mut shown = String::with_capacity(text.len());
    let mut from = 0;
    for (start, end) in ranges {
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
            assert_eq!(redacted(&secrets.each_ref(), text), expected);
        }
    }
}
