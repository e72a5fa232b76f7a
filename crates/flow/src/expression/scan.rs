//! Finds words in the text of an expression without parsing it: variables, the time, secrets. Text in quotes and comments
//! counts too, so that too much may be found and never too little.

use std::collections::BTreeSet;

/// The names after every `$`.
pub(crate) fn variables(text: &str) -> BTreeSet<&str> {
    text.match_indices('$').map(|(at, _)| name_at(&text[at + 1..])).filter(|name| !name.is_empty()).collect()
}

/// Whether the text may ask for the time.
pub(crate) fn mentions_now(text: &str) -> bool {
    text.match_indices("now").any(|(at, word)| {
        let before = text[..at].chars().next_back();
        let after = text[at + word.len()..].chars().next();
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !before.is_some_and(is_word) && !after.is_some_and(is_word)
    })
}

/// Whether the text plainly gives each item of something, as `.items[]` does.
pub(crate) fn gives_several(text: &str) -> bool {
    let last = text.trim_end().strip_suffix("[]").and_then(|before| before.chars().next_back());
    last.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '.' | ')' | ']' | '"' | '?'))
}

/// The secrets it takes: a name each, or `None` where any could be meant.
pub(crate) fn secrets(text: &str) -> Vec<Option<String>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('$') {
        let rest = &text[at + 1..];
        let name = name_at(rest);
        if !matches!(name, "secrets" | "secret") {
            continue;
        }
        found.push(field_at(rest[name.len()..].trim_start()));
    }
    found
}

/// Whether a word can be the name of a variable.
pub(crate) fn is_name(word: &str) -> bool {
    !word.is_empty() && name_at(word) == word
}

fn name_at(text: &str) -> &str {
    if !text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        return "";
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(text.len());
    &text[..end]
}

/// The field in `.name`, `."name"` or `["name"]`.
fn field_at(text: &str) -> Option<String> {
    let text = match text.strip_prefix('.') {
        Some(rest) if !name_at(rest).is_empty() => return Some(name_at(rest).to_owned()),
        Some(rest) => rest,
        None => text,
    };
    let text = text.strip_prefix('[').unwrap_or(text).trim_start();
    let (name, _) = text.strip_prefix('"')?.split_once('"')?;
    (!name.contains('\\')).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_found() {
        let check = |text: &str, expect: &[&str]| {
            assert_eq!(variables(text).into_iter().collect::<Vec<_>>(), expect, "{text}");
        };
        check(".a + $context.b | $input", &["context", "input"]);
        check("$a2_b$c", &["a2_b", "c"]);
        check("\"$x\" # $y", &["x", "y"]);
        check("$ $1 é$ä", &[]);
    }

    #[test]
    fn the_time_is_found() {
        for (text, expect) in [
            ("now", true),
            ("(now|todate)", true),
            (".now", true),
            ("known", false),
            ("now_", false),
            ("", false),
        ] {
            assert_eq!(mentions_now(text), expect, "{text}");
        }
    }

    #[test]
    fn several_results_are_found() {
        for text in [".[]", ".items[] ", "(.a | .b)[]", ".a[0][]", ".\"a b\"[]", "$context.a[]"] {
            assert!(gives_several(text), "{text}");
        }
        for text in ["[.items[]]", ".a // []", "[]", "{a: []}", ".a == []", "first(.a[])"] {
            assert!(!gives_several(text), "{text}");
        }
    }

    #[test]
    fn secrets_are_found() {
        let check = |text: &str, expect: &[Option<&str>]| {
            let found = secrets(text);
            let found: Vec<_> = found.iter().map(Option::as_deref).collect();
            assert_eq!(found, expect, "{text}");
        };
        check("$secrets.api_key", &[Some("api_key")]);
        check("$secret . token", &[None]);
        check("$secrets[\"api-key\"] + $secret.\"x y\"", &[Some("api-key"), Some("x y")]);
        check("$secrets | keys", &[None]);
        check("$secrets[.name]", &[None]);
        check("$secretsauce.a", &[]);
    }
}
