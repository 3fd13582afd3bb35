//! Files of machines whose run was killed, and could not remove them: by the process in their
//! name, PREFIX-PROCESS-NUMBER.
use std::fs;
use std::path::Path;

/// Removes from `folder` what the runs that are gone have left there under names that begin
/// with `prefix`. What belongs to another user stays.
pub(super) fn remove(folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let process = name.to_str().and_then(|name| process(name, prefix));
        if process.is_none_or(|process| Path::new("/proc").join(process).exists()) {
            continue;
        }
        // Another run may be removing it as well.
        let _ = match entry.file_type() {
            Ok(kind) if kind.is_dir() => fs::remove_dir_all(entry.path()),
            _ => fs::remove_file(entry.path()),
        };
    }
}

/// The process in the name of a machine's file.
fn process<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    let (process, number) = name.strip_prefix(prefix)?.split_once('-')?;
    let numbers = [process, number].map(str::parse::<u32>);
    numbers.iter().all(Result::is_ok).then_some(process)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_run_that_is_gone_has_left_is_removed_and_nothing_else() {
        let own = std::process::id();
        let folder = std::env::temp_dir().join(format!("tern-leftovers-{own}"));
        // No process has a number beyond 2^22, the greatest `pid_max`.
        let gone = ["run-4294967295-0", "run-4294967295-12"];
        let others = [
            format!("run-{own}-0"),
            "run-4294967295-full.trace".into(),
            "run-new-4294967295-0".into(),
            "other-4294967295-0".into(),
        ];
        fs::create_dir_all(folder.join(gone[0]).join("inner")).unwrap();
        fs::write(folder.join(gone[1]), "memory").unwrap();
        for name in &others {
            fs::create_dir_all(folder.join(name)).unwrap();
        }
        remove(&folder, "run-");
        let left = |name: &str| folder.join(name).exists();
        assert_eq!(gone.map(left), [false, false]);
        assert!(others.iter().all(|name| left(name)));
        fs::remove_dir_all(folder).unwrap();
    }
}
