//! How to write a file so that nobody ever finds half of it under its name.
use std::format;
use std::io;
use std::path::Path;

/// Writes `contents` to the file at `path`, whole or not at all.
///
/// The bytes go to a file beside it, which takes the name when all of them are there. So what
/// stood there before stays when the disk is full, and a reader sees the old file or the new
/// one. What is no regular file (a pipe, a device) is written to as it is.
///
/// # Errors
/// The file system's; nothing is left behind then.
pub fn write_whole(path: &Path, contents: &[u8]) -> io::Result<()> {
    if std::fs::metadata(path).is_ok_and(|it| !it.is_file()) {
        return std::fs::write(path, contents);
    }

    // A link stays one: the file that it leads to is replaced.
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_path_buf());
    let mut unfinished = target.clone().into_os_string();
    unfinished.push(format!(".{}.unfinished", std::process::id()));

    let written =
        std::fs::write(&unfinished, contents).and_then(|()| std::fs::rename(&unfinished, &target));
    if written.is_err() {
        // There may be no file, or nothing more to be done about it.
        let _ = std::fs::remove_file(&unfinished);
    }
    written
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;
    use std::vec::Vec;

    /// Returns an empty folder of the test's own.
    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("tern-{name}-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        folder
    }

    fn names(folder: &Path) -> Vec<std::ffi::OsString> {
        let mut names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_is_replaced_and_a_link_to_it_stays_a_link() {
        let folder = folder("whole-file");
        let (file, link) = (folder.join("file"), folder.join("link"));
        write_whole(&file, b"old").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();

        write_whole(&link, b"new").unwrap();

        assert_eq!(std::fs::read(&file).unwrap(), b"new");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(names(&folder), ["file", "link"]);
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_behind() {
        let folder = folder("whole-file-refused");
        // A name of 255 bytes is the longest: the unfinished one is longer.
        let file = folder.join("n".repeat(255));

        assert!(write_whole(&file, b"new").is_err());
        assert!(write_whole(&folder.join("none/file"), b"new").is_err());
        assert!(write_whole(&folder, b"new").is_err());

        assert!(names(&folder).is_empty());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_full_device_is_an_error() {
        let full = Path::new("/dev/full");
        assert_eq!(
            write_whole(full, b"new").unwrap_err().kind(),
            io::ErrorKind::StorageFull
        );
    }
}
