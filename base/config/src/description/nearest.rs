//! What somebody who mistyped a word may have meant.
use alloc::vec::Vec;

/// The known word that differs from `word` in the fewest letters, if in no more than a
/// third of them.
pub(super) fn nearest(word: &str, known: &[&'static str]) -> Option<&'static str> {
    let distance = |other: &str| {
        let other: Vec<char> = other.chars().collect();
        let mut row: Vec<usize> = (0..=other.len()).collect();
        for (i, a) in word.chars().enumerate() {
            let mut diagonal = row[0];
            row[0] = i + 1;
            for (j, b) in other.iter().enumerate() {
                let replaced = diagonal + usize::from(a != *b);
                diagonal = row[j + 1];
                row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
            }
        }
        row[other.len()]
    };
    // Long words are nobody's typing mistake, and would take long to compare.
    if word.len() > 48 {
        return None;
    }
    let best = known.iter().min_by_key(|other| distance(other))?;
    (distance(best) * 3 <= best.chars().count().max(3)).then_some(*best)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_word_is_near_if_few_letters_differ() {
        let known = ["period", "budget", "core"];
        for (word, expected) in [
            ("peroid", Some("period")),
            ("Budget", Some("budget")),
            ("cores", Some("core")),
            ("budgets", Some("budget")),
            ("colour", None),
            ("", None),
            ("p", None),
        ] {
            assert_eq!(nearest(word, &known), expected, "{word}");
        }
        assert_eq!(nearest(&"period".repeat(100), &known), None);
        assert_eq!(nearest("period", &[]), None);
    }
}
