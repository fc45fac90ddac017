//! Generates the C header from `src/lib.rs`, and names the shared library.
//!
//! As for the client, the header goes to the build's own folder, and `make header` copies it to `include/`. A test fails
//! while the two differ.

use std::{env, path::PathBuf};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in ["build.rs", "cbindgen.toml", "src/lib.rs"] {
        println!("cargo:rerun-if-changed={path}");
    }

    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let header = PathBuf::from(env::var("OUT_DIR")?).join("floatlease_sandbox.h");
    cbindgen::Builder::new()
        .with_src(root.join("src/lib.rs"))
        .with_config(cbindgen::Config::from_file(root.join("cbindgen.toml"))?)
        .generate()?
        .write_to_file(&header);
    println!("cargo:rustc-env=FLOATLEASE_SANDBOX_GENERATED_HEADER={}", header.display());

    if env::var("CARGO_CFG_TARGET_OS")? == "linux" {
        // NODELETE keeps the code loaded, because thread-local destructors of std and of the cryptography may run later.
        for argument in ["-soname,libfloatlease_sandbox.so.1", "-z,nodelete", "-z,relro", "-z,now"] {
            println!("cargo:rustc-cdylib-link-arg=-Wl,{argument}");
        }
    }
    Ok(())
}
