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

/// Where the code of each language is that tests run.
const EXAMPLES: [(&str, &[&str]); 4] = [
    ("c", &["examples/c"]),
    ("cpp", &["examples/cpp"]),
    ("csharp", &["examples/csharp", "bindings/csharp/tests", "bindings/unity/com.floatlease/Samples~/LicenseBanner"]),
    ("python", &["examples/python"]),
];

/// The page's code stands there, as it is.
pub fn assert_code(page: &str) {
    for (language, folders) in EXAMPLES {
        let files = folders.iter().flat_map(|folder| std::fs::read_dir(root().join(folder)).unwrap());
        let code: Vec<String> = files.filter_map(|file| std::fs::read_to_string(file.unwrap().path()).ok()).collect();
        for block in blocks_in(page, language) {
            assert!(code.iter().any(|file| file.contains(&block)), "in no file of {folders:?}:\n{block}");
        }
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

/// A folder that looks like the repository after `make release server cli`.
fn folder(name: &str) -> PathBuf {
    let folder = target_dir().join(name);
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(folder.join("target")).unwrap();
    for name in ["include", "examples", "bindings"] {
        symlink(root().join(name), folder.join(name)).unwrap();
    }
    symlink(release_dir(), folder.join("target/release")).unwrap();
    symlink(sandbox_dir(), folder.join("target/sandbox")).unwrap();
    symlink(target_dir(), folder.join("target/server")).unwrap();
    symlink(target_dir(), folder.join("target/cli")).unwrap();
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
        command.args(["exec", "--", "sh", "-ec", &script.join("\n")]).current_dir(&folder);
        // The command line keeps its files there, and not in the home of whoever runs the test.
        let said = run(command.env("XDG_STATE_HOME", folder.join("state")));
        if let Some((_, expected)) = blocks.get(number + 1).filter(|(name, _)| name == "text") {
            assert!(fits(expected.trim_end(), said.trim_end()), "{block}\n{said}");
        }
    }
}

/// What a page links to is there: files beside it, and headings in them.
pub fn assert_links(path: &str) {
    let page = read(path);
    let folder = root().join(path).parent().unwrap().to_owned();
    let links = page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap());
    for link in links.filter(|link| !link.starts_with("https://")) {
        let (file, heading) = link.split_once('#').unwrap_or((link, ""));
        let to = if file.is_empty() { root().join(path) } else { folder.join(file) };
        assert!(to.exists(), "{path} links to {link}");
        let headings = || std::fs::read_to_string(&to).unwrap().lines().filter_map(anchor).collect::<Vec<_>>();
        assert!(heading.is_empty() || headings().iter().any(|name| name == heading), "{path} links to {link}");
    }
}

/// What a link to a heading says.
fn anchor(line: &str) -> Option<String> {
    let heading = line.starts_with('#').then(|| line.trim_start_matches('#').trim().to_lowercase())?;
    let letters = heading.chars().filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    Some(letters.map(|c| if c == ' ' { '-' } else { c }).collect())
}
