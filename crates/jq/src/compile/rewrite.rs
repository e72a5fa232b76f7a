//! Assignments as calls: `a |= f` becomes `_modify(a; f)`, and so on.
//!
//! jaq updates by pushing a function down the expression on the left. That nests functions in functions, which it clones at
//! each level without asking anybody, so a few bytes of text can take seconds; and it gives other results than jq for
//! anything but plain paths. jq collects the paths on the left and sets them one by one. So do we: the syntax tree is
//! rewritten before it is compiled, and jaq's own updates are never reached.

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::path::{Part, Path};

/// A name that no text can hold.
const RIGHT: &str = "$ right";

/// Rewrites the body of a definition.
pub(super) fn definition(def: Def<&str>) -> Def<&str> {
    Def { body: term(def.body), ..def }
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
        BinaryOp::Assign => Term::Call("_assign", vec![*left, *right]),
        BinaryOp::Update => Term::Call("_modify", vec![*left, *right]),
        BinaryOp::UpdateMath(op) => update_with(*left, BinaryOp::Math(op), right),
        BinaryOp::UpdateAlt => update_with(*left, BinaryOp::Alt, right),
        op => Term::BinOp(left, op, right),
    }
}

/// `right as $right | _modify(left; . op $right)`.
fn update_with<'s>(left: Term<&'s str>, op: BinaryOp<&'s str>, right: Box<Term<&'s str>>) -> Term<&'s str> {
    let changed = Term::BinOp(Box::new(Term::Id), op, Box::new(Term::Var(RIGHT)));
    let modify = Term::Call("_modify", vec![left, changed]);
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
