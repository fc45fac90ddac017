//! Generates the C header from `src/`, and names the shared library.
//!
//! As for the client, the header goes to the build's own folder, `make header` copies it to `include/`, and
//! `tests/header.rs` fails while the two differ.

use std::{env, fs, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in ["build.rs", "cbindgen.toml", "src"] {
        println!("cargo:rerun-if-changed={path}");
    }

    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let header = PathBuf::from(env::var("OUT_DIR")?).join("floatlease_sandbox.h");
    let mut config = cbindgen::Config::from_file(root.join("cbindgen.toml"))?;
    config.header = Some(comment(&fs::read_to_string(root.join("src/manual.txt"))?));
    cbindgen::Builder::new().with_src(root.join("src/lib.rs")).with_config(config).generate()?.write_to_file(&header);
    println!("cargo:rustc-env=FLOATLEASE_SANDBOX_GENERATED_HEADER={}", header.display());

    if env::var("CARGO_CFG_TARGET_OS")? == "linux" {
        // NODELETE keeps the library loaded after dlclose(), because thread-local destructors of std and of the
        // cryptography would otherwise run code that is gone.
        for argument in ["-soname,libfloatlease_sandbox.so.1", "-z,nodelete", "-z,relro", "-z,now"] {
            println!("cargo:rustc-cdylib-link-arg=-Wl,{argument}");
        }
    }
    Ok(())
}

/// Turns a text into one C comment.
fn comment(text: &str) -> String {
    let lines = text.lines().map(|line| format!(" * {line}").trim_end().to_owned() + "\n");
    format!("/*\n{} */", lines.collect::<String>())
}
