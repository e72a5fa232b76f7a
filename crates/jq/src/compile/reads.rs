//! Which parts of its input an expression can look at, so that the rest need not be kept when only its truth is wanted.
//!
//! Most filters of events look at a few keys: `.data.amount > 100 and .type == "order.paid"`. Reading the whole event costs
//! ten times what evaluating such a filter does. What is listed here is a safe bound: an expression in which the input
//! itself is used by anything but a path of constant keys, or whose shape is not among those below, reads everything.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Pattern, Term};
use jaq_core::path::Part;

/// Keys of one object, and keys on the way to a value, that are told apart: looking for them must stay cheap, and what lists
/// them is freed recursively.
const MAX_KEYS: usize = 16;

/// Keys of an object that are read, each with what is read below it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Keys(Vec<(Box<str>, Below)>);

/// What is read below a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Below {
    Everything,
    Keys(Keys),
}

impl Keys {
    /// What is read below `key`; `None` if nothing is.
    pub(crate) fn below(&self, key: &str) -> Option<&Below> {
        self.0.iter().find(|(known, _)| **known == *key).map(|(_, below)| below)
    }

    /// Adds a path; `false` if there are too many keys.
    fn insert(&mut self, path: &[&str]) -> bool {
        let Some((first, rest)) = path.split_first() else { return true };
        let at = self.0.iter().position(|(known, _)| **known == **first).unwrap_or_else(|| {
            self.0.push(((*first).into(), Below::Keys(Self::default())));
            self.0.len() - 1
        });
        if self.0.len() > MAX_KEYS {
            return false;
        }
        match &mut self.0[at].1 {
            Below::Everything => true,
            Below::Keys(keys) if !rest.is_empty() => keys.insert(rest),
            below @ Below::Keys(_) => {
                *below = Below::Everything;
                true
            }
        }
    }

    /// Notes what `tree` reads of the input; `false` if that cannot be said.
    fn note(&mut self, tree: &Term<&str>) -> bool {
        match tree {
            Term::Num(_) | Term::Var(_) | Term::Arr(None) => true,
            Term::Call("true" | "false" | "null", args) => args.is_empty(),
            // The condition sees what the generator gives.
            Term::Call("any" | "all", args) => args.len() == 2 && self.note(&args[0]),
            Term::Neg(inner) | Term::Arr(Some(inner)) | Term::TryCatch(inner, _) => self.note(inner),
            Term::Str(_, parts) => parts.iter().all(|part| match part {
                StrPart::Term(inner) => self.note(inner),
                StrPart::Str(_) | StrPart::Char(_) => true,
            }),
            Term::BinOp(left, BinaryOp::Pipe(None), _) => self.note(left),
            Term::BinOp(left, BinaryOp::Pipe(Some(Pattern::Var(_))), right) => {
                self.note(left) && self.note(right)
            }
            Term::BinOp(left, op, right) if is_plain(op) => self.note(left) && self.note(right),
            Term::IfThenElse(branches, Some(otherwise)) => {
                branches.iter().all(|(condition, then)| self.note(condition) && self.note(then))
                    && self.note(otherwise)
            }
            Term::Path(head, path) => {
                let keys: Vec<&str> =
                    path.0.iter().map_while(|(part, _)| constant(part)).take(MAX_KEYS).collect();
                let is_noted = match **head {
                    Term::Id => !keys.is_empty() && self.insert(&keys),
                    _ => self.note(head),
                };
                // Computed indices see the whole input, not the part that is indexed.
                is_noted
                    && path.0.iter().all(|(part, _)| match part {
                        Part::Index(index) => self.note(index),
                        Part::Range(from, to) => from.iter().chain(to).all(|bound| self.note(bound)),
                    })
            }
            _ => false,
        }
    }
}

/// What an expression reads when only its truth is wanted; `None` is everything. `tree` is not rewritten yet.
pub(super) fn of(tree: &Term<&str>) -> Option<Keys> {
    // The output of `select` is the input, which is true whatever is left out of it: only objects are cut down.
    let tree = match tree {
        Term::Call("select", args) if args.len() == 1 => &args[0],
        other => other,
    };
    let mut keys = Keys::default();
    keys.note(tree).then_some(keys)
}

/// Whether both sides of an operator see its input, and nothing else does.
fn is_plain(op: &BinaryOp<&str>) -> bool {
    matches!(
        op,
        BinaryOp::Comma | BinaryOp::Alt | BinaryOp::And | BinaryOp::Or | BinaryOp::Math(_) | BinaryOp::Cmp(_)
    )
}

/// The key of `.key` or `."key"`.
fn constant<'s>(part: &Part<Term<&'s str>>) -> Option<&'s str> {
    match part {
        Part::Index(Term::Str(None, parts)) => match parts[..] {
            [StrPart::Str(key)] => Some(key),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compile::parse;

    fn check(text: &str, expected: Option<&[&[&str]]>) {
        let expected = expected.map(|paths| {
            let mut keys = Keys::default();
            assert!(paths.iter().all(|path| keys.insert(path)));
            keys
        });
        assert_eq!(of(&parse(text).unwrap()), expected, "{text}");
    }

    #[test]
    fn paths_of_constant_keys_are_known() {
        check(".data.amount > 100", Some(&[&["data", "amount"]]));
        check("select(.a == 1)", Some(&[&["a"]]));
        check(".a.b == 1 and (.a.c | length) > 2", Some(&[&["a", "b"], &["a", "c"]]));
        check(".a.b, .a", Some(&[&["a", "b"], &["a"]]));
        check(".a, .a.b", Some(&[&["a"]]));
        check("any(.a.b[]; .c > 1)", Some(&[&["a", "b"]]));
        check(".a[1].b", Some(&[&["a"]]));
        check(".[\"a\"]?.b // \"x\"", Some(&[&["a", "b"]]));
        check(".a as $x | .b == $x", Some(&[&["a"], &["b"]]));
        check("if .a then .b else .c end", Some(&[&["a"], &["b"], &["c"]]));
        check("try .a.b catch .c", Some(&[&["a", "b"]]));
        check("\"\\(.a)-\\(.b)\" | test(\"x\")", Some(&[&["a"], &["b"]]));
        check("true", Some(&[]));
        check("[1, .a] | .[0]", Some(&[&["a"]]));
    }

    #[test]
    fn long_lists_of_keys_are_not_kept() {
        check(&".a".repeat(5_000), Some(&[&["a"; MAX_KEYS]]));
        let many: Vec<String> = (0..=MAX_KEYS).map(|n| format!(".k{n}")).collect();
        check(&many.join(","), None);
        assert!(of(&parse(&many[1..].join(",")).unwrap()).is_some());
    }

    #[test]
    fn everything_else_is_read_whole() {
        for text in [
            ".",
            "..",
            ".[]",
            ".[0]",
            ".[.a]",
            ".a[.]",
            ".a[.b[length]]",
            ".a[length:]",
            ".[\"\\(.a)\"]",
            "length > 1",
            "keys",
            "not",
            "{a}",
            "select(.a) | .b",
            "select(.)",
            ".a = 1",
            ".a |= 1",
            ".a += 1",
            ".a and select(.b)",
            "any(.a)",
            "any(.[]; .a)",
            "def f: .; .a == f",
            "def select(f): .; select(.a)",
            ". as {a: $x} | $x",
            ".a as [$x] | 1",
            "reduce .a[] as $x (.; 1)",
            "label $l | .a",
            "if .a then .b end",
            "if . then 1 else 2 end",
            "to_entries | length",
            "true(.)",
            "f(.a)",
            ".a == (. | length)",
            "-(.)",
            "[.]",
        ] {
            check(text, None);
        }
    }
}
