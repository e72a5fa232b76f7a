//! Changes to the syntax tree before it is compiled, where jaq is not safe enough or not jq enough.
//!
//! - **Assignments become calls**: `a |= f` is `modify(a; f)`, and so on. jaq updates by pushing a function down the
//!   expression on the left. That nests functions in functions, which it clones at each level without asking anybody, so
//!   a few bytes of text can take seconds; and it gives other results than jq for anything but plain paths. jq collects
//!   the paths on the left and sets them one by one. So do we, and jaq's own updates are never reached.
//! - **The right side of an operator is the outer loop** where both sides may have several outputs: `(1, 2) * (3, 4)` is
//!   `3, 6, 4, 8` in jq.
//! - **A parameter `$x` is also a filter `x`.**

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::path::{Part, Path};

use crate::compile::survey;
use crate::natives::updates;

/// Names that no text can hold.
const LEFT: &str = "$ left";
const RIGHT: &str = "$ right";

/// Rewrites the body of a definition.
pub(super) fn definition(def: Def<&str>) -> Def<&str> {
    let used = survey::names(&def.body);
    let params = def.args.iter().filter_map(|arg| Some((*arg, arg.strip_prefix('$')?)));
    let as_filters: Vec<_> = params
        .filter(|(_, name)| used.contains(name))
        .map(|(param, name)| Def { name, args: Vec::new(), body: Term::Var(param) })
        .collect();
    let body = term(def.body);
    let body = if as_filters.is_empty() { body } else { Term::Def(as_filters, Box::new(body)) };
    Def { name: def.name, args: def.args, body }
}

#[allow(clippy::boxed_local, reason = "its callers hold and want boxes")]
fn boxed(inner: Box<Term<&str>>) -> Box<Term<&str>> {
    Box::new(term(*inner))
}

fn all(terms: Vec<Term<&str>>) -> Vec<Term<&str>> {
    terms.into_iter().map(term).collect()
}

/// Rewrites a term and all its parts.
pub(super) fn term(tree: Term<&str>) -> Term<&str> {
    match tree {
        Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) | Term::Var(_) => tree,
        Term::Str(format, parts) => Term::Str(format, parts.into_iter().map(part_of_text).collect()),
        Term::Arr(inner) => Term::Arr(inner.map(boxed)),
        Term::Obj(entries) => {
            Term::Obj(entries.into_iter().map(|(key, value)| (term(key), value.map(term))).collect())
        }
        Term::Neg(inner) => Term::Neg(boxed(inner)),
        Term::Label(name, inner) => Term::Label(name, boxed(inner)),
        Term::BinOp(left, op, right) => operation(boxed(left), op, boxed(right)),
        Term::Fold(kind, source, names, args) => Term::Fold(kind, boxed(source), pattern(names), all(args)),
        Term::TryCatch(body, handler) => Term::TryCatch(boxed(body), handler.map(boxed)),
        Term::IfThenElse(branches, otherwise) => Term::IfThenElse(
            branches.into_iter().map(|(condition, then)| (term(condition), term(then))).collect(),
            otherwise.map(boxed),
        ),
        Term::Def(defs, body) => Term::Def(defs.into_iter().map(definition).collect(), boxed(body)),
        Term::Call(name, args) => Term::Call(name, all(args)),
        Term::Path(head, parts) => Term::Path(boxed(head), path(parts)),
    }
}

fn operation<'s>(
    left: Box<Term<&'s str>>,
    op: BinaryOp<&'s str>,
    right: Box<Term<&'s str>>,
) -> Term<&'s str> {
    match op {
        BinaryOp::Pipe(names) => Term::BinOp(left, BinaryOp::Pipe(names.map(pattern)), right),
        BinaryOp::Assign => Term::Call(updates::ASSIGN, vec![*left, *right]),
        BinaryOp::Update => Term::Call(updates::MODIFY, vec![*left, *right]),
        BinaryOp::UpdateMath(op) => update_with(*left, BinaryOp::Math(op), right),
        BinaryOp::UpdateAlt => update_with(*left, BinaryOp::Alt, right),
        BinaryOp::Math(_) | BinaryOp::Cmp(_) if may_be_several(&left) && may_be_several(&right) => {
            right_first(left, op, right)
        }
        op => Term::BinOp(left, op, right),
    }
}

/// Whether a term can have more than one output, as far as its shape tells.
fn may_be_several(tree: &Term<&str>) -> bool {
    match tree {
        Term::Id | Term::Num(_) | Term::Var(_) | Term::Break(_) | Term::Arr(_) => false,
        Term::Neg(inner) | Term::Label(_, inner) => may_be_several(inner),
        Term::Str(_, parts) => parts.iter().any(|part| matches!(part, StrPart::Term(_))),
        Term::Path(head, parts) => {
            let several = |part: &Part<_>| match part {
                Part::Index(index) => may_be_several(index),
                Part::Range(None, None) => true,
                Part::Range(from, to) => from.iter().chain(to).any(may_be_several),
            };
            may_be_several(head) || parts.0.iter().any(|(part, _)| several(part))
        }
        Term::BinOp(_, BinaryOp::Comma, _) => true,
        Term::BinOp(left, _, right) => may_be_several(left) || may_be_several(right),
        _ => true,
    }
}

/// `right as $right | left as $left | $left op $right`.
fn right_first<'s>(
    left: Box<Term<&'s str>>,
    op: BinaryOp<&'s str>,
    right: Box<Term<&'s str>>,
) -> Term<&'s str> {
    let bound = |name| BinaryOp::Pipe(Some(Pattern::Var(name)));
    let result = Term::BinOp(Box::new(Term::Var(LEFT)), op, Box::new(Term::Var(RIGHT)));
    let result = Term::BinOp(left, bound(LEFT), Box::new(result));
    Term::BinOp(right, bound(RIGHT), Box::new(result))
}

/// `right as $right | modify(left; . op $right)`.
fn update_with<'s>(left: Term<&'s str>, op: BinaryOp<&'s str>, right: Box<Term<&'s str>>) -> Term<&'s str> {
    let changed = Term::BinOp(Box::new(Term::Id), op, Box::new(Term::Var(RIGHT)));
    let modify = Term::Call(updates::MODIFY, vec![left, changed]);
    Term::BinOp(right, BinaryOp::Pipe(Some(Pattern::Var(RIGHT))), Box::new(modify))
}

fn part_of_text<'s>(part: StrPart<&'s str, Term<&'s str>>) -> StrPart<&'s str, Term<&'s str>> {
    match part {
        StrPart::Term(inner) => StrPart::Term(term(inner)),
        other => other,
    }
}

fn pattern(names: Pattern<&str>) -> Pattern<&str> {
    match names {
        Pattern::Var(name) => Pattern::Var(name),
        Pattern::Arr(parts) => Pattern::Arr(parts.into_iter().map(pattern).collect()),
        Pattern::Obj(parts) => {
            Pattern::Obj(parts.into_iter().map(|(key, inner)| (term(key), pattern(inner))).collect())
        }
    }
}

fn path(parts: Path<Term<&str>>) -> Path<Term<&str>> {
    let part = |part| match part {
        Part::Index(index) => Part::Index(term(index)),
        Part::Range(from, to) => Part::Range(from.map(term), to.map(term)),
    };
    Path(parts.0.into_iter().map(|(inner, opt)| (part(inner), opt)).collect())
}
