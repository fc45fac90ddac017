"""What stands in for Apple's SDK when the client for macOS is linked: the names that it takes from the system.

A linker needs no more of a system's library than its names. zig brings those of libSystem; these are those of the
frameworks, as far as the client calls them. A name that is missing here fails the link, with the linker's words.
"""

import shutil

STUB = """\
--- !tapi-tbd
tbd-version:     4
targets:         [ x86_64-macos, arm64-macos ]
install-name:    '{path}'
exports:
  - targets:         [ x86_64-macos, arm64-macos ]
    symbols:         [ {names} ]
...
"""

FRAMEWORKS = {
    # Whether the system trusts a server's certificate, and why not.
    "Security": """
        SecCertificateCopySubjectSummary SecCertificateCreateWithData SecCopyErrorMessageString SecPolicyCreateSSL
        SecTrustCreateWithCertificates SecTrustEvaluateWithError SecTrustSetAnchorCertificates
        SecTrustSetAnchorCertificatesOnly SecTrustSetOCSPResponse SecTrustSetVerifyDate
    """,
    # What it is asked with, and answers with.
    "CoreFoundation": """
        CFArrayCreate CFDataCreate CFDateCreate CFErrorCopyDescription CFErrorGetCode CFRelease CFStringCreateWithBytes
        CFStringGetBytes CFStringGetCStringPtr CFStringGetLength kCFAbsoluteTimeIntervalSince1970 kCFAllocatorDefault
        kCFTypeArrayCallBacks
    """,
}


def stub(file, path, names):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(STUB.format(path=path, names=", ".join(f"_{name}" for name in names.split())))


def lay_out_sdk(sdk, zig):
    """Fills the folder `sdk`; `zig` is the folder of zig's Python package."""
    shutil.rmtree(sdk, ignore_errors=True)
    for name, names in FRAMEWORKS.items():
        framework = f"System/Library/Frameworks/{name}.framework"
        stub(sdk / framework / f"{name}.tbd", f"/{framework}/Versions/A/{name}", names)
    # Asked for by Rust's libc, and then not needed.
    stub(sdk / "usr/lib/libiconv.tbd", "/usr/lib/libiconv.2.dylib", "")
    for name in ("libSystem", "libc", "libm"):
        shutil.copy(zig / "lib/libc/darwin/libSystem.tbd", sdk / f"usr/lib/{name}.tbd")


def linking(sdk):
    """rustc's arguments for linking against it, by LLVM's linker: zig's exports every function there is."""
    arguments = [
        "--ld-path=/usr/bin/ld64.lld-22", "-mlinker-version=705", "-isysroot", sdk,
        # Neither names of functions that are not exported, nor the paths of object files, nor libraries without use.
        "-Wl,-x", "-Wl,-S", "-Wl,-dead_strip_dylibs",
    ]
    return ["-Clinker=clang", "-Clinker-flavor=darwin-lld-cc", "-Cstrip=none",
            *(f"-Clink-arg={argument}" for argument in arguments)]
