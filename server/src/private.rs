//! Makes files and directories that no other user of this computer can read.
//!
//! On Unix, their mode restricts them from the start. On Windows they inherit the rights of the directory above, and below
//! ProgramData every user may read. There `icacls` restricts them, because safe Rust can't make the system's calls.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes a directory for its owner and the administrators only. An existing directory is left as it is.
///
/// # Errors
/// The directory can't be made or, on Windows, can't be restricted.
pub fn directory(path: &Path) -> io::Result<()> {
    #[cfg(windows)]
    let is_new = !path.exists();
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)?;
    #[cfg(windows)]
    if is_new && let Err(error) = windows::restrict(path, true) {
        // Otherwise the next start would take the unprotected directory for an existing one.
        let _ = std::fs::remove_dir(path);
        return Err(error);
    }
    Ok(())
}

/// Creates an empty file for its owner and the administrators only, in place of an existing one.
///
/// The file is restricted before anything is written into it.
pub(crate) fn file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // An existing file would keep its mode and its owner, and other programs may have opened it.
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let file = options.open(path)?;
    #[cfg(windows)]
    windows::restrict(path, false)?;
    Ok(file)
}

#[cfg(any(windows, test))]
mod windows {
    use std::ffi::OsString;
    use std::path::Path;

    /// OWNER RIGHTS, SYSTEM and Administrators by their numbers, since their names are translated.
    const PRINCIPALS: [&str; 3] = ["*S-1-3-4", "*S-1-5-18", "*S-1-5-32-544"];

    /// Returns the arguments of `icacls`: no rights are inherited from above, and these three may do everything.
    ///
    /// In a directory, files and subdirectories inherit these rights.
    pub(super) fn arguments(path: &Path, is_directory: bool) -> Vec<OsString> {
        let rights = if is_directory { ":(OI)(CI)F" } else { ":F" };
        let mut arguments: Vec<OsString> = vec![path.into(), "/inheritance:r".into(), "/grant:r".into()];
        arguments.extend(PRINCIPALS.iter().map(|principal| format!("{principal}{rights}").into()));
        arguments
    }

    #[cfg(windows)]
    pub(super) fn restrict(path: &Path, is_directory: bool) -> std::io::Result<()> {
        use std::io::{Error, ErrorKind};
        // The full path is needed: another program of that name may be in a directory that is searched earlier.
        let root = std::env::var_os("SystemRoot")
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "the environment variable SystemRoot is missing"))?;
        let icacls = Path::new(&root).join("System32").join("icacls.exe");
        let failed = |why: &dyn std::fmt::Display| {
            let advice = "keep the data on NTFS, in a directory that this account may change";
            Error::other(format!("{} can't be restricted by icacls: {why}; {advice}", path.display()))
        };
        let output = std::process::Command::new(icacls).args(arguments(path, is_directory)).output();
        match output {
            Ok(output) if output.status.success() => Ok(()),
            Ok(output) => Err(failed(&String::from_utf8_lossy(&output.stderr).trim())),
            Err(error) => Err(failed(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn icacls_removes_rights_of_other_users() {
        let told = |is_directory| {
            let told = windows::arguments(Path::new(r"C:\ProgramData\My licenses"), is_directory);
            told.into_iter().map(|argument| argument.into_string().unwrap()).collect::<Vec<_>>()
        };
        let of_file = ["/inheritance:r", "/grant:r", "*S-1-3-4:F", "*S-1-5-18:F", "*S-1-5-32-544:F"];
        assert_eq!(told(false)[0], r"C:\ProgramData\My licenses");
        assert_eq!(told(false)[1..], of_file);
        assert!(told(true)[3..].iter().all(|argument| argument.ends_with(":(OI)(CI)F")), "files inside inherit it");
    }

    #[cfg(unix)]
    #[test]
    fn files_and_directories_are_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = std::env::temp_dir().join(format!("floatlease-private-{}", std::process::id()));
        let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
        directory(&folder).unwrap();
        std::fs::write(folder.join("key"), "for everybody to read").unwrap();
        std::fs::set_permissions(folder.join("key"), std::fs::Permissions::from_mode(0o644)).unwrap();
        drop(file(&folder.join("key")).unwrap());
        assert_eq!(std::fs::read(folder.join("key")).unwrap(), b"");
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("key")), 0o600);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
