//! Reads files with secrets: keys, passwords' hashes, signing keys.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use crate::error::Result;
use crate::gateway::config_error::config_error;

/// The largest file, in bytes.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Reads a file that only its owner may change, and only its owner and its group may read. The group may read it
/// because Kubernetes gives a pod access to a secret by its group. `what` begins the error messages.
///
/// # Errors
/// `Configuration` if the file cannot be read or if others have access to it. The message does not contain its content.
pub(in crate::gateway) fn read(path: &Path, what: &str) -> Result<Vec<u8>> {
    let shown = path.display();
    let unreadable = |error: std::io::Error| config_error(format!("{what} {shown} cannot be read ({error})"));
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return unreadable(error),
    };
    // Of the opened file: neither a link nor a rename can come between.
    match file.metadata() {
        Ok(metadata) => check_mode(&metadata, path, what)?,
        Err(error) => return unreadable(error),
    }
    let mut content = Vec::new();
    match file.take(MAX_BYTES + 1).read_to_end(&mut content) {
        Ok(_) if content.len() as u64 > MAX_BYTES => {
            config_error(format!("{what} {shown} is larger than {MAX_BYTES} bytes"))
        }
        Ok(_) => Ok(content),
        Err(error) => unreadable(error),
    }
}

#[cfg(unix)]
fn check_mode(metadata: &std::fs::Metadata, path: &Path, what: &str) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;

    let mode = metadata.permissions().mode() & 0o7777;
    let problem = match mode {
        _ if mode & 0o002 != 0 => "every user can change it",
        _ if mode & 0o004 != 0 => "every user can read it",
        _ if mode & 0o020 != 0 => "its group can change it",
        _ => return Ok(()),
    };
    let shown = path.display();
    config_error(format!("{what} {shown} has the mode {mode:04o}, so {problem}: run chmod 600 {shown}"))
}

#[cfg(not(unix))]
fn check_mode(_metadata: &std::fs::Metadata, _path: &Path, _what: &str) -> Result<()> {
    Ok(())
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_file_that_others_can_read_or_change_is_rejected() {
        let folder = std::env::temp_dir().join(format!("connect-mongodb-secret-file-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (path, link) = (folder.join("keys"), folder.join("link"));
        std::fs::write(&path, "hunter2").unwrap();
        symlink(&path, &link).unwrap();
        let with_mode = |mode| {
            std::fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            read(&link, "the key file").map_err(|error| error.message)
        };
        for mode in [0o600, 0o400, 0o440, 0o640, 0o700, 0o750] {
            assert_eq!(with_mode(mode).unwrap(), b"hunter2", "{mode:o}");
        }
        for (mode, problem) in [
            (0o644, "every user can read it"),
            (0o604, "every user can read it"),
            (0o602, "every user can change it"),
            (0o666, "every user can change it"),
            (0o660, "its group can change it"),
            (0o620, "its group can change it"),
        ] {
            let message = with_mode(mode).unwrap_err();
            let expected = format!("the mode {mode:04o}, so {problem}: run chmod 600 {}", link.display());
            assert!(message.contains(&expected) && !message.contains("hunter2"), "{message}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
