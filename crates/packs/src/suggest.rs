//! Finds the known word nearest to a mistyped one, and cuts quoted text to a readable length.

/// Returns the candidate within a third of the word's length in edits (rounded up), the nearest first.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // Longer words come from broken files, and the distance costs the product of both lengths.
    if word.len() > 64 {
        return None;
    }
    let limit = word.chars().count().div_ceil(3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= 128)
        .map(|candidate| (strsim::osa_distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Says what to do about an unknown word: the nearest known one if there is one, else the list of all.
pub fn instead<'a>(word: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    if let Some(near) = nearest(word, known.clone()) {
        return format!("did you mean `{near}`?");
    }
    let all: Vec<&str> = known.into_iter().collect();
    if all.is_empty() {
        "remove it".to_owned()
    } else {
        format!("use one of {}, or remove it", all.join(", "))
    }
}

/// Quotes a text from a file, cut to a readable length.
pub fn quoted(text: &str) -> String {
    let cut: String = text.chars().take(60).collect();
    let more = if cut.len() < text.len() { "…" } else { "" };
    format!("`{}{more}`", cut.escape_debug())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_within_a_third() {
        let check = |word: &str, expect: Option<&str>| {
            assert_eq!(nearest(word, ["title", "version", "description"]), expect, "{word}");
        };
        check("tilte", Some("title"));
        check("vresion", Some("version"));
        check("descripton", Some("description"));
        check("owner", None);
        check("", None);
        check(&"x".repeat(10_000), None);
    }
}
