//! A page of the documentation, and what holds it to the truth.

use super::{release_dir, root, run, sandbox_dir, server_binary, target_dir};
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

/// A file of the repository.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// Every fenced block of a page: its language and its text, in order.
pub fn blocks(page: &str) -> Vec<(String, String)> {
    let fenced = page.split("```").skip(1).step_by(2);
    fenced.map(|block| block.split_once('\n').unwrap()).map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

/// Those of one language.
pub fn blocks_in(page: &str, language: &str) -> Vec<String> {
    blocks(page).into_iter().filter(|(name, _)| name == language).map(|(_, text)| text).collect()
}

/// The page's C code stands in these examples, in this order.
pub fn assert_c_code(page: &str, examples: &[&str]) {
    let blocks = blocks_in(page, "c");
    assert_eq!(blocks.len(), examples.len());
    for (block, name) in blocks.iter().zip(examples) {
        assert!(read(&format!("examples/c/{name}")).contains(block), "not in {name}:\n{block}");
    }
}

/// Whether `text` is `pattern`, where … stands for anything.
pub fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut parts = parts.peekable();
    if parts.peek().is_none() {
        return rest.is_empty();
    }
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        let Some(place) = rest.find(part) else { return false };
        rest = &rest[place + part.len()..];
    }
    true
}

/// A folder that looks like the repository after `make release server`.
fn folder(name: &str) -> PathBuf {
    let folder = target_dir().join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("target")).unwrap();
    for name in ["include", "examples"] {
        symlink(root().join(name), folder.join(name)).unwrap();
    }
    symlink(release_dir(), folder.join("target/release")).unwrap();
    symlink(sandbox_dir(), folder.join("target/sandbox")).unwrap();
    folder
}

/// The page's shell commands do what the text block says that follows them. `name` is a folder for them.
pub fn assert_shell_commands(page: &str, name: &str) {
    let folder = folder(name);
    let (blocks, makefile) = (blocks(page), read("Makefile"));
    for (number, (_, block)) in blocks.iter().enumerate().filter(|(_, (name, _))| name == "sh") {
        let (targets, script): (Vec<&str>, Vec<&str>) = block.lines().partition(|line| line.starts_with("make "));
        for target in targets.iter().flat_map(|line| line.split_whitespace().skip(1)) {
            assert!(makefile.contains(&format!("\n{target}:")), "make {target}");
        }
        let mut command = Command::new(server_binary());
        let said = run(command.args(["exec", "--", "sh", "-ec", &script.join("\n")]).current_dir(&folder));
        if let Some((_, expected)) = blocks.get(number + 1).filter(|(name, _)| name == "text") {
            assert!(fits(expected.trim_end(), said.trim_end()), "{block}\n{said}");
        }
    }
}

/// What a page in `docs/` links to is there.
pub fn assert_links(page: &str) {
    let links = page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    for link in links {
        match link.strip_prefix('#') {
            Some(heading) => {
                let anchors = page.lines().filter_map(|line| line.strip_prefix("## "));
                assert!(anchors.map(|line| line.to_lowercase().replace(' ', "-")).any(|a| a == heading), "{link}");
            }
            None => assert!(root().join("docs").join(link).exists(), "{link}"),
        }
    }
}
