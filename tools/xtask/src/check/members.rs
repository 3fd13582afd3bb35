//! The order of the workspace's members: a crate depends on earlier ones only.
use super::manifest::{keys, members, name};
use crate::error::{Context, Error, Result};
use std::path::Path;

/// A member of the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Member {
    /// Its folder, from the root.
    pub folder: String,
    /// Its package's name.
    pub name: String,
    /// The packages that it depends on, for its tests and build script too.
    pub dependencies: Vec<String>,
}

/// Reads the members of the workspace at `root`, in the order in which they are listed.
///
/// # Errors
/// If a manifest cannot be read.
pub(super) fn read(root: &Path) -> Result<Vec<Member>> {
    let text = |folder: &str| {
        let file = root.join(folder).join("Cargo.toml");
        std::fs::read_to_string(&file).context(|| format!("reading {}", file.display()))
    };
    let folders = members(&text("")?);
    if folders.is_empty() {
        return Err(Error::failure("Cargo.toml lists no members"));
    }
    let member = |folder: &String| {
        let manifest = text(folder)?;
        let sections = ["dependencies", "dev-dependencies", "build-dependencies"].iter();
        Ok(Member {
            folder: folder.clone(),
            name: name(&manifest).ok_or_else(|| {
                Error::failure(format!(
                    "{folder}/Cargo.toml does not say the package's name"
                ))
            })?,
            dependencies: sections.flat_map(|it| keys(&manifest, it)).collect(),
        })
    };
    folders.iter().map(member).collect()
}

/// Says which members depend on one that is listed after them.
pub(super) fn upward(members: &[Member]) -> Vec<String> {
    let mut wrong = Vec::new();
    for (place, member) in members.iter().enumerate() {
        let later = members[place..].iter();
        let later = later.filter(|it| member.dependencies.contains(&it.name));
        wrong.extend(later.map(|later| {
            let (name, above) = (&member.name, &later.name);
            format!("{name} depends on {above}, which Cargo.toml lists after it")
        }));
    }
    wrong
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_that_depends_on_a_later_one_is_named_with_it() {
        let member = |name: &str, dependencies: &[&str]| Member {
            folder: name.into(),
            name: name.into(),
            dependencies: dependencies.iter().map(ToString::to_string).collect(),
        };
        let right = [member("a", &["elsewhere"]), member("b", &["a"])];
        assert_eq!(upward(&right), [""; 0]);
        let wrong = [
            member("a", &["b"]),
            member("b", &["a"]),
            member("c", &["c"]),
        ];
        assert_eq!(
            upward(&wrong),
            [
                "a depends on b, which Cargo.toml lists after it",
                "c depends on c, which Cargo.toml lists after it"
            ]
        );
    }
}
