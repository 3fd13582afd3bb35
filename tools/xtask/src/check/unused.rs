//! Dependencies that no source names: a manifest says what a crate is made of, and is wrong then.
use super::manifest::keys;
use crate::error::{Context, Error, Result};
use crate::workspace;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A section of a manifest with dependencies, and what is compiled with them.
struct Section {
    name: &'static str,
    /// Folders and files beside the manifest.
    sources: &'static [&'static str],
}

const SECTIONS: [Section; 3] = [
    Section {
        name: "dependencies",
        sources: &["src"],
    },
    Section {
        name: "dev-dependencies",
        sources: &["src", "tests", "benches", "examples"],
    },
    Section {
        name: "build-dependencies",
        sources: &["build.rs"],
    },
];

/// Checks every package of the workspace, and what the workspace itself lists.
///
/// # Errors
/// All dependencies that no source names, each with its crate; or if a file cannot be read.
pub fn check() -> Result<()> {
    let mut unused = Vec::new();
    let mut known = BTreeSet::new();
    for package in workspace::packages()? {
        let manifest = read(&package.folder.join("Cargo.toml"))?;
        for section in &SECTIONS {
            let dependencies = keys(&manifest, section.name);
            let text = sources(&package.folder, section)?;
            let missing = dependencies.iter().filter(|name| !is_named(&text, name));
            unused.extend(missing.map(|name| {
                format!(
                    "{}: no source names {name} of its [{}]",
                    package.name, section.name
                )
            }));
            known.extend(dependencies);
        }
    }

    let root = read(&workspace::root().join("Cargo.toml"))?;
    let listed = keys(&root, "workspace.dependencies").into_iter();
    let missing = listed.filter(|name| !known.contains(name));
    unused.extend(missing.map(|name| format!("the workspace: no package depends on {name}")));

    match unused.is_empty() {
        true => Ok(()),
        false => Err(Error::failure(format!(
            "unused dependencies:\n  {}\ntake them out of the manifest",
            unused.join("\n  ")
        ))),
    }
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).context(|| format!("reading {}", path.display()))
}

/// All that is compiled with a section's dependencies, without comments.
fn sources(folder: &Path, section: &Section) -> Result<String> {
    let mut text = String::new();
    let mut places: Vec<PathBuf> = section.sources.iter().map(|it| folder.join(it)).collect();
    while let Some(place) = places.pop() {
        if place.is_dir() {
            let doing = || format!("listing {}", place.display());
            for entry in fs::read_dir(&place).context(doing)? {
                places.push(entry.context(doing)?.path());
            }
        } else if place.extension().is_some_and(|extension| extension == "rs") && place.exists() {
            for line in read(&place)?.lines() {
                let code = line.split("//").next().unwrap_or("");
                text.push_str(code);
                text.push('\n');
                // A module that lies elsewhere.
                let path = line.trim().strip_prefix("#[path = \"");
                let path = path.and_then(|rest| rest.split('"').next());
                places.extend(path.and_then(|path| Some(place.parent()?.join(path))));
            }
        }
    }
    Ok(text)
}

/// Whether `text` has a path that begins with the crate `name`, its macro, or an import of it.
fn is_named(text: &str, name: &str) -> bool {
    let name = name.replace('-', "_");
    let is_word = |character: char| character.is_alphanumeric() || character == '_';
    text.match_indices(&name).any(|(at, _)| {
        let (before, after) = (&text[..at], &text[at + name.len()..]);
        if before.ends_with(is_word) || after.starts_with(is_word) {
            return false;
        }
        let line = before.rsplit('\n').next().unwrap_or("").trim_start();
        let is_import = ["use ", "pub use ", "extern crate "]
            .iter()
            .any(|it| line.starts_with(it));
        after.starts_with("::") || after.starts_with('!') || is_import
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crate_is_named_by_a_path_a_macro_or_an_import() {
        for (text, is) in [
            ("use bit_field::BitField;", true),
            ("use {core::fmt, bit_field};", true),
            ("pub use bit_field as bits;", true),
            ("let x = bit_field::one();", true),
            ("bit_field!(x);", true),
            ("let bit_field = 1;", false),
            ("use my_bit_field::X;", false),
            ("use bit_fields::X;", false),
            ("", false),
        ] {
            assert_eq!(is_named(text, "bit-field"), is, "{text}");
        }
    }

    #[test]
    fn every_file_counts_and_no_comment_does() {
        let folder = std::env::temp_dir().join(format!("tern-unused-{}", std::process::id()));
        fs::create_dir_all(folder.join("src/deeper")).unwrap();
        fs::write(
            folder.join("src/lib.rs"),
            "//! [`spin::Mutex`]\nmod deeper; // spin::x\n",
        )
        .unwrap();
        let deeper = "use elf::ElfBytes;\n#[path = \"../../outside.rs\"]\nmod outside;\n";
        fs::write(folder.join("src/deeper/mod.rs"), deeper).unwrap();
        fs::write(folder.join("outside.rs"), "use serde::Serialize;\n").unwrap();
        let text = sources(&folder, &SECTIONS[0]).unwrap();
        fs::remove_dir_all(&folder).unwrap();
        for (name, is) in [("spin", false), ("elf", true), ("serde", true)] {
            assert_eq!(is_named(&text, name), is, "{name} in {text}");
        }
    }
}
