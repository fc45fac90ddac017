//! Generates the C header from `src/ffi/` and the status table, and names the shared library.
//!
//! The header goes to the build's own folder, because a build must not write into the sources of a crate that somebody
//! merely depends on. `make header` copies it to `include/`; `tests/header.rs` fails while the two differ.

use std::{env, fmt::Write, fs, path::PathBuf};

#[path = "src/status.rs"]
#[allow(dead_code, unreachable_pub, reason = "the header needs only the table")]
mod status;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in ["build.rs", "cbindgen.toml", "src/ffi", "src/status.rs"] {
        println!("cargo:rerun-if-changed={path}");
    }

    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let header = PathBuf::from(env::var("OUT_DIR")?).join("floatlease.h");
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    config.header = Some(comment(&fs::read_to_string(root.join("src/ffi/manual.txt"))?));
    config.after_includes = Some(status_constants()?);
    // The first file has the type of a status. The others are in the order of the header.
    let files = ["call", "exports/library", "exports/client", "exports/verbs", "exports/background", "exports/lease"];
    let sources = files.iter().map(|file| root.join(format!("src/ffi/{file}.rs")));
    let builder = sources.fold(cbindgen::Builder::new().with_config(config), cbindgen::Builder::with_src);
    builder.generate()?.write_to_file(&header);
    println!("cargo:rustc-env=FLOATLEASE_GENERATED_HEADER={}", header.display());

    // Cargo passes these arguments to every shared library that depends on this package. The sandbox's library has a name
    // of its own, so it leaves the feature out.
    if env::var("CARGO_CFG_TARGET_OS")? == "linux" && env::var("CARGO_FEATURE_EXPORTS").is_ok() {
        // The SONAME carries the ABI's major version. NODELETE keeps the library loaded after dlclose(), because std's
        // thread-local destructors would otherwise run code that is gone.
        for argument in ["-soname,libfloatlease.so.1", "-z,nodelete", "-z,relro", "-z,now"] {
            println!("cargo:rustc-cdylib-link-arg=-Wl,{argument}");
        }
    }
    if env::var("CARGO_CFG_TARGET_OS")? == "macos" && env::var("CARGO_FEATURE_EXPORTS").is_ok() {
        println!("cargo:rustc-cdylib-link-arg=-Wl,-install_name,@rpath/libfloatlease.1.dylib");
    }
    Ok(())
}

/// Turns a text into one C comment.
fn comment(text: &str) -> String {
    let lines = text.lines().map(|line| format!(" * {line}").trim_end().to_owned() + "\n");
    format!("/*\n{} */", lines.collect::<String>())
}

/// Writes `#define FLOATLEASE_E_…` for every row of the table.
fn status_constants() -> Result<String, std::fmt::Error> {
    let mut text = String::new();
    for row in status::STATUSES.iter().map(|status| status.row()) {
        let prefix = if row.number == 0 { "FLOATLEASE_" } else { "FLOATLEASE_E_" };
        write!(text, "\n/** {}\n *  {} */\n", row.message, row.advice)?;
        writeln!(text, "#define {prefix}{} {}", row.name, row.number)?;
    }
    Ok(text)
}
