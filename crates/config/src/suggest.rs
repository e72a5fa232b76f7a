//! Finds the known word nearest to a mistyped one, for the "did you mean" part of errors.

/// Returns the candidate within a third of the word's length in edits (rounded up), the nearest first.
pub(crate) fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words come from broken files, and the distance costs the product of both lengths.
    if word.len() > 64 {
        return None;
    }
    let limit = word.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Counts the insertions, deletions and replacements between two words (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut previous = vec![i + 1];
        for (j, to) in b.iter().enumerate() {
            let replace = row[j] + usize::from(from != *to);
            previous.push(replace.min(row[j + 1] + 1).min(previous[j] + 1));
        }
        row = previous;
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_word_within_a_third() {
        let check = |word: &str, expect: Option<&str>| {
            assert_eq!(nearest(word, ["listen", "log_level", "log_format", "threads"]), expect, "{word}");
        };
        check("listne", Some("listen"));
        check("lissten", Some("listen"));
        check("log_fromat", Some("log_format"));
        check("loglevel", Some("log_level"));
        check("port", None);
        check("trheads", Some("threads"));
        check("", None);
        check(&"x".repeat(10_000), None);
    }

    #[test]
    fn distance_counts_edits() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
