//! Layers inside a crate: in each folder the entries are rooms, what the files of one import
//! from another is an arrow, and a room that reaches itself is in a circle.
use super::imports::{self, Module, Named};
use std::collections::{BTreeMap, BTreeSet};

/// The circles that there still are; the list only ever gets shorter.
pub(super) const KNOWN: &str = include_str!("circles.txt");
/// Imports that lead to imports, at most.
const DEPTH: u32 = 8;

/// A source file.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// Its path from the folder of the crate's sources.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// The rooms of a folder that reach each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Circle {
    /// The folder.
    pub folder: String,
    /// The rooms.
    pub rooms: BTreeSet<String>,
    /// Each arrow between two of them, with a file and line that make it.
    pub arrows: Vec<String>,
}

/// Returns the circles in the folder `name` of a crate's sources and in those below.
pub(super) fn circles(name: &str, sources: &[Source]) -> Vec<Circle> {
    let tree = Tree::of(sources);
    let mut floors: BTreeMap<Module, Floor> = BTreeMap::new();
    for (module, file) in &tree.files {
        for named in &file.named {
            let target = tree.resolve(&named.path, DEPTH);
            let pairs = module.iter().zip(&target);
            let shared = pairs.take_while(|(one, other)| one == other).count();
            // A module and the folder that it stands in are no two rooms.
            let (Some(from), Some(to)) = (module.get(shared), target.get(shared)) else {
                continue;
            };
            let floor = floors.entry(module[..shared].to_vec()).or_default();
            let witness = || format!("{from} → {to} ({}:{})", file.path, named.line);
            let arrows = floor.arrows.entry(from.clone()).or_default();
            arrows.entry(to.clone()).or_insert_with(witness);
        }
    }
    let folder = |module: &Module| [&[name.to_string()], &module[..]].concat().join("/");
    let circles = floors
        .iter()
        .flat_map(|(module, floor)| floor.circles(&folder(module)));
    circles.collect()
}

/// Compares the circles that there are with the list of those that are `known`, a line each:
/// `folder: room room`. Returns what is wrong.
pub(super) fn compare(circles: &[Circle], known: &str) -> Vec<String> {
    let lines = known.lines().filter(|line| !line.starts_with('#'));
    let mut listed: BTreeSet<&str> = lines.collect();
    let mut wrong = Vec::new();
    for circle in circles {
        let rooms: Vec<_> = circle.rooms.iter().map(String::as_str).collect();
        let line = format!("{}: {}", circle.folder, rooms.join(" "));
        if !listed.remove(line.as_str()) {
            let arrows = circle.arrows.join(", ");
            wrong.push(format!("{line} form a circle: {arrows}"));
        }
    }
    let gone = listed.into_iter().map(|line| {
        format!("'{line}' is no circle any more: take that line out of check/circles.txt")
    });
    wrong.extend(gone);
    wrong
}

/// The rooms of one folder: for each the rooms that its files import, with a file and line.
#[derive(Clone, Debug, Default)]
struct Floor {
    arrows: BTreeMap<String, BTreeMap<String, String>>,
}

impl Floor {
    /// Returns the rooms that `room` reaches, by way of others too.
    fn reach<'a>(&'a self, room: &'a str) -> BTreeSet<&'a str> {
        let mut reached = BTreeSet::new();
        let mut open = vec![room];
        while let Some(room) = open.pop() {
            let next = self.arrows.get(room).into_iter().flat_map(BTreeMap::keys);
            open.extend(next.map(String::as_str).filter(|it| reached.insert(*it)));
        }
        reached
    }

    fn circles(&self, folder: &str) -> Vec<Circle> {
        let reach = self
            .arrows
            .keys()
            .map(|room| (room.as_str(), self.reach(room)));
        let reach: BTreeMap<&str, BTreeSet<&str>> = reach.collect();
        let mut circles = Vec::new();
        let mut seen = BTreeSet::new();
        for (room, reached) in &reach {
            if !reached.contains(room) || seen.contains(room) {
                continue;
            }
            let back = |other: &&&str| reach.get(**other).is_some_and(|it| it.contains(room));
            let rooms: BTreeSet<&str> = reached.iter().filter(back).copied().collect();
            let inside = |it: &str| rooms.contains(it);
            let from = self.arrows.iter().filter(|(from, _)| inside(from));
            let arrows = from.flat_map(|(_, arrows)| arrows.iter().filter(|(to, _)| inside(to)));
            circles.push(Circle {
                folder: folder.into(),
                arrows: arrows.map(|(_, witness)| witness.clone()).collect(),
                rooms: rooms.iter().map(ToString::to_string).collect(),
            });
            seen.extend(rooms);
        }
        circles
    }
}

/// The modules of a crate.
#[derive(Clone, Debug, Default)]
struct Tree {
    files: BTreeMap<Module, File>,
}

/// A module's file.
#[derive(Clone, Debug, Default)]
struct File {
    path: String,
    code: String,
    /// Paths from the root of the crate and from the parent, and imports from its children.
    named: Vec<Named>,
}

impl Tree {
    fn of(sources: &[Source]) -> Self {
        let mut tree = Self::default();
        for source in sources {
            // Programs beside the crate's own have roots of their own; tests look at anything.
            let parts: Vec<_> = source.path.trim_end_matches(".rs").split('/').collect();
            if parts[0] == "bin" || parts.contains(&"tests") {
                continue;
            }
            let own = !["mod", "lib", "main"].contains(parts.last().unwrap_or(&""));
            let length = parts.len() - usize::from(!own);
            let module = parts[..length].iter().map(ToString::to_string).collect();
            let file = tree.files.entry(module).or_insert_with(File::default);
            file.path.clone_from(&source.path);
            file.code += &imports::code(&source.text);
        }
        let modules: Vec<Module> = tree.files.keys().cloned().collect();
        for (module, file) in &mut tree.files {
            let below = modules
                .iter()
                .filter(|it| it.split_last().is_some_and(|(_, parent)| parent == module));
            let children: Vec<_> = below
                .filter_map(|it| it.last())
                .map(String::as_str)
                .collect();
            file.named = imports::named(&file.code, module);
            file.named
                .extend(imports::from_children(&file.code, module, &children));
        }
        tree
    }

    /// Returns the module that a path from the crate's root leads to, through the imports of
    /// the modules on its way: what a module imports, its children find there, and others if
    /// it exports it.
    fn resolve(&self, path: &[String], depth: u32) -> Module {
        let is_module = |length: &usize| self.files.contains_key(&path[..*length]);
        let length = (0..=path.len()).rev().find(is_module).unwrap_or(0);
        let (module, rest) = path.split_at(length);
        let (Some(name), Some(file), true) = (rest.first(), self.files.get(module), depth > 0)
        else {
            return module.to_vec();
        };
        for named in &file.named {
            let last = named.path.len().saturating_sub(1);
            let target = match named.name == "*" {
                true => {
                    let target = self.resolve(&named.path[..last], depth - 1);
                    let defines = self.files.get(&target).is_some_and(|it| it.defines(name));
                    defines.then_some(target)
                }
                false => (named.name == *name).then(|| named.path.clone()),
            };
            // A path that a module names where it means its own item leads back to it.
            if let Some(target) = target.filter(|target| *target != [module, &rest[..1]].concat()) {
                return self.resolve(&[&target[..], &rest[1..]].concat(), depth - 1);
            }
        }
        module.to_vec()
    }
}

impl File {
    /// Returns whether the file has an item called `name`.
    fn defines(&self, name: &str) -> bool {
        const ITEMS: [&str; 8] = [
            "struct", "enum", "fn", "trait", "const", "static", "type", "union",
        ];
        let mut places = self.code.match_indices(name);
        places.any(|(at, _)| {
            let ends = !self.code[at + name.len()..]
                .starts_with(|it: char| it.is_ascii_alphanumeric() || it == '_');
            let before = self.code[..at].trim_end();
            ends && before.len() < at && ITEMS.iter().any(|item| before.ends_with(item))
        })
    }
}

#[cfg(test)]
mod tests;
