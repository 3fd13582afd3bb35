//! What manifests say, line by line: tables, their keys, and the list of members.

/// Returns the keys of `[section]`, and the names after it in headers `[section.NAME]`.
pub(super) fn keys(manifest: &str, section: &str) -> Vec<String> {
    let mut keys = Vec::new();
    let mut is_inside = false;
    for line in manifest.lines().map(str::trim) {
        if let Some(header) = line.strip_prefix('[') {
            let header = header.split(']').next().unwrap_or("");
            is_inside = header == section;
            let name = header
                .strip_prefix(section)
                .and_then(|rest| rest.strip_prefix('.'));
            keys.extend(name.map(str::to_string));
        } else if is_inside && let Some((key, _)) = line.split_once('=') {
            let key = key.trim().split('.').next().unwrap_or("");
            if !key.is_empty() && !key.starts_with('#') {
                keys.push(key.trim_matches('"').to_string());
            }
        }
    }
    keys
}

/// Returns the folders in the list `members` of the workspace's manifest.
pub(super) fn members(manifest: &str) -> Vec<String> {
    let list = manifest.split_once("\nmembers = [");
    let list = list.and_then(|(_, rest)| rest.split_once(']'));
    let quoted = list.map_or("", |(list, _)| list).split('"');
    quoted.skip(1).step_by(2).map(str::to_string).collect()
}

/// Returns the package's name.
pub(super) fn name(manifest: &str) -> Option<String> {
    let (_, package) = manifest.split_once("[package]\n")?;
    let mut lines = package.lines().take_while(|line| !line.starts_with('['));
    let value = lines.find_map(|line| line.strip_prefix("name = "))?;
    Some(value.trim().trim_matches('"').to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dependencies_of_a_manifest_are_those_of_its_sections() {
        let manifest = "[package]\nname = \"x\"\n[dependencies]\n# spin = \"1\"\n\
                        a-b.workspace = true\n\"c\" = { path = \"d\" } # e\n\n\
                        [dependencies.f]\nversion = \"1\"\n[dev-dependencies]\ng = \"1\"\n";
        assert_eq!(keys(manifest, "dependencies"), ["a-b", "c", "f"]);
        assert_eq!(keys(manifest, "dev-dependencies"), ["g"]);
        assert!(keys(manifest, "build-dependencies").is_empty());
    }

    #[test]
    fn members_are_those_of_the_list_in_its_order() {
        let manifest = "[workspace]\nmembers = [\n    \"base/units\", \"sched\",\n    \"kernel\",\n]\ndefault-members = [\"sched\"]\n";
        assert_eq!(members(manifest), ["base/units", "sched", "kernel"]);
    }

    #[test]
    fn a_packages_name_is_that_of_its_table() {
        let manifest = "[lib]\nname = \"a\"\n[package]\nedition = \"2024\"\nname = \"b\"\n";
        assert_eq!(name(manifest).as_deref(), Some("b"));
        assert_eq!(
            name("[lib]\nname = \"a\"\n[package]\n[[bin]]\nname = \"c\"\n"),
            None
        );
    }
}
