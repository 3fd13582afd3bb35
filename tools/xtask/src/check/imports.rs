//! Which paths a source file names that begin in its own crate.

/// A module, from the crate's root: the names on the way.
pub(super) type Module = Vec<String>;

/// A path of a crate's own that a file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Named {
    /// The names on the way, from the crate's root: a module, and what is in it. The last is
    /// `*` where all of a module is imported.
    pub path: Vec<String>,
    /// The name that it has from then on.
    pub name: String,
    /// The line, from 1.
    pub line: usize,
}

/// Returns `text` without its comments and its tests, each line in its place.
pub(super) fn code(text: &str) -> String {
    let mut code = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        let next = lines.peek().map_or("", |line| line.trim_start());
        if line.trim() == "#[cfg(test)]" && next.starts_with("mod ") {
            break;
        }
        code += line.split("//").next().unwrap_or(line);
        code.push('\n');
    }
    code
}

/// Returns the paths after `crate::` and `super::` in the `code` of `module`.
pub(super) fn named(code: &str, module: &[String]) -> Vec<Named> {
    let mut found = Vec::new();
    let mut rest = 0;
    while let Some(start) = first_root(code, rest) {
        let parent = || module[..module.len().saturating_sub(1)].to_vec();
        let (mut at, mut base) = match code[start..].starts_with("crate") {
            true => (start + "crate::".len(), Module::new()),
            false => (start + "super::".len(), parent()),
        };
        while code[at..].starts_with("super::") {
            at += "super::".len();
            base.pop();
        }
        let line = 1 + code[..start].matches('\n').count();
        rest = at + tree(&code[at..], base, line, &mut found);
    }
    found
}

/// Returns the paths of the `use` items in `code` that begin with the name of one of the
/// module's own `children`.
pub(super) fn from_children(code: &str, module: &[String], children: &[&str]) -> Vec<Named> {
    let mut found = Vec::new();
    for (start, keyword) in code.match_indices("use ") {
        let item = &code[start + keyword.len()..];
        let item = item.strip_prefix("self::").unwrap_or(item);
        let first = item.split(|it: char| !is_in_name(it)).next().unwrap_or("");
        if children.contains(&first) && !code[..start].ends_with(is_in_name) {
            let line = 1 + code[..start].matches('\n').count();
            tree(item, module.to_vec(), line, &mut found);
        }
    }
    found
}

/// Returns where the first `crate::` or `super::` from `rest` on begins.
fn first_root(code: &str, rest: usize) -> Option<usize> {
    let roots = ["crate::", "super::"];
    let starts = roots.map(|root| {
        let mut starts = code[rest..].match_indices(root);
        let start = starts.find(|(at, _)| !code[..rest + at].ends_with(is_in_name));
        start.map(|(at, _)| rest + at)
    });
    starts.into_iter().flatten().min()
}

fn is_in_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// Reads a tree of paths below `base` from the begin of `text`: `a::b`, `a as c`, `a::{b, c}`,
/// `a::*`. Returns its length.
fn tree(text: &str, base: Module, line: usize, found: &mut Vec<Named>) -> usize {
    let mut path = base;
    let mut at = 0;
    loop {
        at += blanks(&text[at..]);
        let rest = &text[at..];
        if rest.starts_with('{') {
            return at + branches(rest, &path, line, found);
        }
        if rest.starts_with('*') {
            path.push("*".into());
            let name = "*".into();
            found.push(Named { path, name, line });
            return at + 1;
        }
        let length = rest.find(|it| !is_in_name(it)).unwrap_or(rest.len());
        let word = &rest[..length];
        // `a::{self}` is a itself.
        if word != "self" && length > 0 {
            path.push(word.into());
        }
        at += length;
        if text[at..].starts_with("::") && length > 0 {
            at += "::".len();
            continue;
        }

        let mut name = path.last().cloned().unwrap_or_default();
        if let Some(alias) = text[at..].strip_prefix(" as ") {
            let length = alias.find(|it| !is_in_name(it)).unwrap_or(alias.len());
            name = alias[..length].into();
            at += " as ".len() + length;
        }
        found.push(Named { path, name, line });
        return at;
    }
}

/// Reads the trees in braces at the begin of `text`, and returns the braces' length.
fn branches(text: &str, base: &[String], line: usize, found: &mut Vec<Named>) -> usize {
    let mut at = "{".len();
    loop {
        at += blanks(&text[at..]);
        match text[at..].chars().next() {
            None => return at,
            Some('}') => return at + 1,
            Some(',') => at += 1,
            Some(_) => {
                let line = line + text[..at].matches('\n').count();
                // What is no tree would be read for ever.
                at += tree(&text[at..], base.to_vec(), line, found).max(1);
            }
        }
    }
}

fn blanks(text: &str) -> usize {
    text.len() - text.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn module(path: &str) -> Module {
        path.split("::").map(str::to_string).collect()
    }

    fn paths(code: &str, inside: &str) -> Vec<String> {
        let named = named(code, &module(inside)).into_iter();
        named.map(|it| it.path.join("::")).collect()
    }

    #[test]
    fn paths_begin_at_the_root_or_at_the_modules_parent() {
        for (code, expected) in [
            ("use crate::a::B;", vec!["a::B"]),
            ("use super::c::D;", vec!["x::c::D"]),
            ("use super::super::e::F;", vec!["e::F"]),
            (
                "let it = crate::g::h(crate::i::J { k: 1 });",
                vec!["g::h", "i::J"],
            ),
            ("fn f() -> crate::l::M<super::N>", vec!["l::M", "x::N"]),
            ("$crate::o::p!()", vec!["o::p"]),
            ("use elsewhere::q; subcrate::r; my_super::s", vec![]),
        ] {
            assert_eq!(paths(code, "x::y"), expected, "{code}");
        }
    }

    #[test]
    fn braces_are_opened() {
        let code = "use crate::{a::{self, B, c::D as E}, f::*,\n    g};\nuse crate::h;";
        let named = named(code, &module("x"));
        let all: Vec<_> = named
            .iter()
            .map(|it| (it.path.join("::"), it.name.as_str(), it.line))
            .collect();
        let expected = [
            ("a", "a", 1),
            ("a::B", "B", 1),
            ("a::c::D", "E", 1),
            ("f::*", "*", 1),
            ("g", "g", 2),
            ("h", "h", 3),
        ];
        assert_eq!(
            all,
            expected.map(|(path, name, line)| (path.into(), name, line))
        );
    }

    #[test]
    fn a_module_imports_from_its_children_by_their_names() {
        let code = "pub use inner::{One, two};\nuse other::Three;\npub use self::inner::Four;";
        let named = from_children(code, &module("x"), &["inner"]);
        let paths: Vec<_> = named.iter().map(|it| it.path.join("::")).collect();
        assert_eq!(paths, ["x::inner::One", "x::inner::two", "x::inner::Four"]);
    }

    #[test]
    fn comments_and_tests_are_no_code() {
        let text = "use crate::a; // not crate::b\n//! nor crate::c\n#[cfg(test)]\nuse crate::d;\n\
            #[cfg(test)]\nmod tests {\n    use crate::e;\n}\n";
        assert_eq!(paths(&code(text), "x"), ["a", "d"]);
    }
}
