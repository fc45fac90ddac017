//! PEM as people paste it: indented, on one line, with "\\n" for line ends, after a byte order mark.

use base64::{Engine, engine::general_purpose::STANDARD};

/// One block of PEM.
pub(crate) struct Block<'a> {
    /// The word between BEGIN and the dashes, such as "PUBLIC KEY".
    pub(crate) label: &'a str,
    /// The bytes; `None` if what stands there is no Base64.
    pub(crate) der: Option<Vec<u8>>,
}

/// Returns the blocks in a text, one after the other. What stands between them does not matter.
pub(crate) fn blocks(mut text: &str) -> impl Iterator<Item = Block<'_>> {
    std::iter::from_fn(move || {
        let (_, begun) = text.split_once("-----BEGIN ")?;
        let (label, content) = begun.split_once("-----")?;
        // A block that is cut off ends where the next one begins.
        let end = [content.find("-----END "), content.find("-----BEGIN ")].into_iter().flatten().min()?;
        let (body, rest) = content.split_at(end);
        text = rest;
        let body = body.replace("\\r", "").replace("\\n", "");
        let digits: Vec<u8> = body.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
        Some(Block { label, der: STANDARD.decode(digits).ok() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = include_str!("../tests/data/signing-public-key.pem");

    fn first(text: &str) -> Option<(String, Option<Vec<u8>>)> {
        blocks(text).next().map(|block| (block.label.to_owned(), block.der))
    }

    #[test]
    fn one_block_is_read_however_it_was_pasted() {
        let plain = first(KEY).unwrap();
        assert!(plain.0 == "PUBLIC KEY" && plain.1.is_some());
        for pasted in [
            KEY.replace('\n', "\r\n"),
            KEY.replace('\n', "\\n"),
            KEY.replace('\n', "\\r\\n"),
            KEY.replace('\n', " "),
            KEY.replace('\n', "\n    "),
            KEY.trim().to_owned(),
            format!("\u{feff}{KEY}"),
            format!("# the server's key\n{KEY}"),
        ] {
            assert_eq!(first(&pasted).unwrap(), plain, "{pasted:?}");
        }
    }

    #[test]
    fn several_blocks_come_one_after_the_other_and_damage_is_told() {
        let damaged = KEY.replacen("MII", "M!I", 1);
        let text = format!("{KEY} between {damaged} {KEY}");
        let found: Vec<bool> = blocks(&text).map(|block| block.der.is_some()).collect();
        assert_eq!(found, [true, false, true]);
        let cut_off = format!("{}{KEY}", &KEY[..KEY.len() / 2]);
        let found: Vec<bool> = blocks(&cut_off).map(|block| block.der == first(KEY).unwrap().1).collect();
        assert_eq!(found, [false, true]);
        assert!(first("hello").is_none() && first("-----BEGIN X----- abc").is_none());
    }
}
