//! Files and directories that no other user of this machine may look into.
//!
//! On Unix a mode says so when they are made. On Windows they inherit what the directory above allows, which below
//! ProgramData is reading by every user; Windows' own `icacls` restricts them, because the calls for that can't be made in
//! safe Rust.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::path::Path;

/// Makes a directory for its owner and the administrators alone. One that is there is left as it is.
///
/// # Errors
/// It can't be made or, on Windows, not be restricted.
pub fn directory(path: &Path) -> io::Result<()> {
    #[cfg(windows)]
    let is_new = !path.exists();
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.recursive(true).create(path)?;
    #[cfg(windows)]
    if is_new && let Err(error) = windows::restrict(path, true) {
        // The next start would take it for one that was there before.
        let _ = std::fs::remove_dir(path);
        return Err(error);
    }
    Ok(())
}

/// Opens an empty file for its owner and the administrators alone; what was there is lost. It is restricted before
/// anything is written into it.
pub(crate) fn file(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    // One that lies there would keep its own mode and owner, and whoever has opened it.
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

    /// OWNER RIGHTS, SYSTEM and Administrators by their numbers, since names are translated.
    const WHO: [&str; 3] = ["*S-1-3-4", "*S-1-5-18", "*S-1-5-32-544"];

    /// What `icacls` must be told: nothing is inherited from above any more, and these three may do everything. In a
    /// directory, its files and subdirectories inherit that.
    pub(super) fn arguments(path: &Path, is_directory: bool) -> Vec<OsString> {
        let rights = if is_directory { ":(OI)(CI)F" } else { ":F" };
        let mut arguments: Vec<OsString> = vec![path.into(), "/inheritance:r".into(), "/grant:r".into()];
        arguments.extend(WHO.iter().map(|who| format!("{who}{rights}").into()));
        arguments
    }

    #[cfg(windows)]
    pub(super) fn restrict(path: &Path, is_directory: bool) -> std::io::Result<()> {
        use std::io::{Error, ErrorKind};
        // By its full path: a program of that name may lie in any directory that is searched before the system's.
        let root = std::env::var_os("SystemRoot").ok_or_else(|| Error::new(ErrorKind::NotFound, "no SystemRoot"))?;
        let icacls = Path::new(&root).join("System32").join("icacls.exe");
        let failed = |why: &dyn std::fmt::Display| {
            let advice = "keep the data on NTFS, in a directory that this account may change";
            Error::other(format!("{} can't be closed to other users by icacls: {why}; {advice}", path.display()))
        };
        let said = std::process::Command::new(icacls).args(arguments(path, is_directory)).output();
        match said {
            Ok(said) if said.status.success() => Ok(()),
            Ok(said) => Err(failed(&String::from_utf8_lossy(&said.stderr).trim())),
            Err(error) => Err(failed(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn windows_is_told_to_let_nobody_else_in() {
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
    fn nobody_else_may_look_into_them() {
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
