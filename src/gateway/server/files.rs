//! Notices when files change.

use std::path::PathBuf;
use std::time::SystemTime;

/// What tells one content of a file from another; `None` if the file does not exist.
type Stamp = Option<(u64, Option<SystemTime>, (u64, u64))>;

/// Files that are looked at again and again. Links are followed, so that a link that is set to another file counts as a
/// change: Kubernetes changes secrets in this way.
pub(in crate::gateway) struct WatchedFiles {
    paths: Vec<PathBuf>,
    /// The files as they were loaded.
    loaded: Vec<Stamp>,
    /// The files as they were last seen.
    seen: Vec<Stamp>,
}

impl WatchedFiles {
    /// Watches files that have just been loaded.
    pub(in crate::gateway) fn new(paths: Vec<PathBuf>) -> Self {
        let loaded: Vec<Stamp> = paths.iter().map(stamp).collect();
        Self { paths, seen: loaded.clone(), loaded }
    }

    /// Whether files have changed since they were loaded, and not since the last call: a certificate and its key are
    /// not replaced at the same moment. Each change is reported once.
    pub(in crate::gateway) fn have_changed(&mut self) -> bool {
        let now: Vec<Stamp> = self.paths.iter().map(stamp).collect();
        let is_quiet = now == self.seen;
        self.seen = now;
        let changed = is_quiet && self.seen != self.loaded;
        if changed {
            self.loaded.clone_from(&self.seen);
        }
        changed
    }

    /// Notes that the files have just been loaded.
    pub(in crate::gateway) fn were_loaded(&mut self) {
        self.seen = self.paths.iter().map(stamp).collect();
        self.loaded.clone_from(&self.seen);
    }
}

fn stamp(path: &PathBuf) -> Stamp {
    let metadata = std::fs::metadata(path).ok()?;
    #[cfg(unix)]
    let identity = {
        use std::os::unix::fs::MetadataExt as _;
        (metadata.dev(), metadata.ino())
    };
    #[cfg(not(unix))]
    let identity = (0, 0);
    Some((metadata.len(), metadata.modified().ok(), identity))
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_change_is_reported_once_and_when_it_is_complete() {
        let folder = std::env::temp_dir().join(format!("gateway-files-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        for version in ["1", "2"] {
            fs::create_dir_all(folder.join(version)).unwrap();
            fs::write(folder.join(version).join("tls.crt"), version).unwrap();
        }
        symlink("1", folder.join("..data")).unwrap();
        symlink("..data/tls.crt", folder.join("tls.crt")).unwrap();
        let missing = folder.join("missing");
        let mut files = WatchedFiles::new(vec![folder.join("tls.crt"), missing.clone()]);
        assert!(!files.have_changed());
        // Kubernetes replaces a link to the folder.
        symlink("2", folder.join("..new")).unwrap();
        fs::rename(folder.join("..new"), folder.join("..data")).unwrap();
        assert_eq!([files.have_changed(), files.have_changed(), files.have_changed()], [false, true, false]);
        // A file that appears in two steps.
        fs::write(&missing, "a").unwrap();
        assert!(!files.have_changed());
        fs::write(&missing, "ab").unwrap();
        assert_eq!([files.have_changed(), files.have_changed(), files.have_changed()], [false, true, false]);
        fs::remove_file(&missing).unwrap();
        files.were_loaded();
        assert_eq!([files.have_changed(), files.have_changed()], [false, false]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
