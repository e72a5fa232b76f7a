//! `$ref` taken apart: which document, where in it.

use percent_encoding::percent_decode_str;

/// A reference: a path (empty for the same document) and a JSON pointer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Reference {
    pub(crate) path: String,
    pub(crate) pointer: String,
}

impl Reference {
    /// Parses the value of `$ref`. Refuses what would leave the pack (a URL) and anchors, saying so.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let (path, fragment) = text.split_once('#').unwrap_or((text, ""));
        if path.contains(':') || path.starts_with('/') || path.contains('\\') {
            return Err("references lead to this document or to a file of this pack, never elsewhere");
        }
        if !fragment.is_empty() && !fragment.starts_with('/') {
            return Err("anchors are not supported; a reference ends in a JSON pointer such as #/$defs/name");
        }
        let decode = |text: &str| percent_decode_str(text).decode_utf8().map(std::borrow::Cow::into_owned);
        match (decode(path), decode(fragment)) {
            (Ok(path), Ok(pointer)) => Ok(Self { path, pointer }),
            _ => Err("the reference is no UTF-8 once its escapes are undone"),
        }
    }

    /// Resolves the path against the folder of the document `from`; `None` when it climbs out of the top.
    pub(crate) fn document(&self, from: &str) -> Option<String> {
        if self.path.is_empty() {
            return Some(from.to_owned());
        }
        let mut parts: Vec<&str> = from.split('/').collect();
        parts.pop();
        for part in self.path.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()?),
                part => parts.push(part),
            }
        }
        Some(parts.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_taken_apart() {
        let check = |text: &str, from: &str, expect: Option<(&str, &str)>| {
            let reference = Reference::parse(text).ok();
            let found = reference.and_then(|it| it.document(from).map(|document| (document, it.pointer)));
            let found = found.as_ref().map(|(document, pointer)| (document.as_str(), pointer.as_str()));
            assert_eq!(found, expect, "{text}");
        };
        check("#", "a.json", Some(("a.json", "")));
        check("#/$defs/x%20y", "a.json", Some(("a.json", "/$defs/x y")));
        check("defs/b.json", "a.json", Some(("defs/b.json", "")));
        check("c.json#/x", "defs/b.json", Some(("defs/c.json", "/x")));
        check("../a.json#", "defs/b.json", Some(("a.json", "")));
        check("../../etc/passwd", "defs/b.json", None);
        check("../x.json", "a.json", None);
        check("https://example.com/s.json", "a.json", None);
        check("file:x", "a.json", None);
        check("/etc/passwd", "a.json", None);
        check("#anchor", "a.json", None);
        check("#/%ff", "a.json", None);
    }
}
