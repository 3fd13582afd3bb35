//! Crates of a few lines: which rooms form circles, and what is said of them.
use super::*;

/// The circles of a crate with these files, as the lines of the list.
fn lines(files: &[(&str, &str)]) -> Vec<String> {
    let circles = circles("x/src", &sources(files)).into_iter();
    let lines = circles.map(|it| (it.folder, Vec::from_iter(it.rooms).join(" ")));
    lines
        .map(|(folder, rooms)| format!("{folder}: {rooms}"))
        .collect()
}

fn sources(files: &[(&str, &str)]) -> Vec<Source> {
    let sources = files.iter().map(|(path, text)| Source {
        path: path.to_string(),
        text: text.to_string(),
    });
    sources.collect()
}

const NONE: [&str; 0] = [];

#[test]
fn arrows_that_point_down_are_no_circle() {
    let files = [
        ("lib.rs", "mod a; mod b; pub use a::A;"),
        ("a.rs", "use crate::b::B; pub struct A;"),
        ("b.rs", "pub struct B;"),
    ];
    assert_eq!(lines(&files), NONE);
}

#[test]
fn rooms_that_import_each_other_by_way_of_a_third_are_one_circle() {
    let files = [
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "use super::c;"),
        ("c.rs", "fn f() { crate::a::g() }"),
        ("d.rs", "use crate::a;"),
    ];
    assert_eq!(lines(&files), ["x/src: a b c"]);
    let circle = &circles("x/src", &sources(&files))[0];
    assert_eq!(
        circle.arrows,
        ["a → b (a.rs:1)", "b → c (b.rs:1)", "c → a (c.rs:1)"]
    );
}

#[test]
fn a_folder_is_a_room_and_has_rooms() {
    let files = [
        ("a/mod.rs", "mod one; mod two;"),
        ("a/one.rs", "use super::two::T; use crate::b::B;"),
        ("a/two.rs", "use crate::a::one::O;"),
        ("b.rs", "use crate::a::two::T;"),
    ];
    assert_eq!(lines(&files), ["x/src: a b", "x/src/a: one two"]);
}

#[test]
fn a_module_and_its_folder_are_no_two_rooms() {
    let files = [
        ("a/mod.rs", "mod one; use one::O; pub struct A;"),
        ("a/one.rs", "use super::A; pub struct O;"),
    ];
    assert_eq!(lines(&files), NONE);
}

#[test]
fn an_arrow_does_not_hide_behind_a_name_that_another_module_exports_again() {
    let b = ("b.rs", "use crate::A;");
    for root in [
        "pub use a::A;",
        "pub use a::Z as A;",
        "pub use a::*;",
        "use crate::c::A;",
    ] {
        let files = [
            ("lib.rs", root),
            ("a.rs", "use crate::b::B; pub struct A; pub struct Z;"),
            b,
            ("c.rs", "pub use super::a::A;"),
        ];
        assert_eq!(lines(&files), ["x/src: a b"], "{root}");
    }
}

#[test]
fn names_that_lead_to_each_other_end() {
    let files = [
        ("lib.rs", "pub use a::A;"),
        ("a.rs", "pub use crate::b::A;"),
        ("b.rs", "pub use crate::A;"),
    ];
    assert_eq!(lines(&files), NONE);
}

#[test]
fn tests_and_other_programs_may_import_what_they_like() {
    let files = [
        ("a.rs", "#[cfg(test)]\nmod tests { use crate::b::B; }"),
        ("a/tests.rs", "use crate::b::B;"),
        ("b.rs", "use crate::a::A;"),
        ("bin/c.rs", "use crate::d;"),
        ("d.rs", "use crate::bin::c;"),
    ];
    assert_eq!(lines(&files), NONE);
}

#[test]
fn a_circle_that_is_not_listed_and_one_that_is_gone_are_both_wrong() {
    let files = [("a.rs", "use crate::b;"), ("b.rs", "use crate::a;")];
    let found = circles("x/src", &sources(&files));
    let known = "# why\nx/src: a b\n";
    assert_eq!(compare(&found, known), NONE);
    assert_eq!(
        compare(&found, ""),
        ["x/src: a b form a circle: a → b (a.rs:1), b → a (b.rs:1)"]
    );
    let gone = "'x/src: a b' is no circle any more: take that line out of check/circles.txt";
    assert_eq!(compare(&[], known), [gone]);
    let larger = "x/src: a b c";
    let wrong = compare(&found, larger);
    assert!(
        wrong[0].starts_with("x/src: a b form a circle"),
        "{wrong:?}"
    );
    assert!(wrong[1].starts_with("'x/src: a b c' is no circle any more"));
}
