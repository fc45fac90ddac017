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

    /// `text` without this secret in it. One of a few letters is left: it would take half of any sentence with it.
    pub(crate) fn redacted(&self, text: &str) -> String {
        if self.0.len() < 4 { text.to_owned() } else { text.replace(self.expose(), "(secret)") }
    }

    /// The text, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str("(secret)")
    }
}
