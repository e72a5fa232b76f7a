//! A walk through a syntax tree: which names it uses, and what must be refused.
//!
//! Refused are two things that jaq accepts and that could end the process:
//!
//! - **Nesting beyond any sense.** Patterns are freed recursively, wherever the filter happens to be dropped.
//! - **A function with filter parameters that calls itself.** jaq runs tail calls in a loop, and each round wraps the
//!   filters it passes on once more. The chain costs no stack while it grows, and is freed recursively. A function can
//!   always be written so that an inner function without parameters calls itself, which is also how jq's own library
//!   is written.

use std::collections::HashSet;

use jaq_core::load::lex::StrPart;
use jaq_core::load::parse::{BinaryOp, Def, Pattern, Term};
use jaq_core::path::{Part, Path};

use crate::compile::error::CompileError;

/// Levels of the syntax tree. Each stage of a pipeline and each entry of an object is a level, as in the interpreter.
const MAX_NESTING: usize = 1_000;

/// What was found in a tree.
struct Survey<'s> {
    names: HashSet<&'s str>,
    /// Functions in scope, innermost last.
    scope: Vec<Function<'s>>,
    /// The level that is being walked.
    level: usize,
    /// The name of the first function that calls itself with filters.
    recursive: Option<&'s str>,
    too_deep: bool,
}

struct Function<'s> {
    name: &'s str,
    arity: usize,
    /// Whether its own body is being walked and it has filter parameters.
    must_not_be_called: bool,
}

/// The names of all functions, formats and variables in `tree`; those of formats and variables begin with `@` and `$`.
pub(super) fn names<'s>(tree: &Term<&'s str>) -> HashSet<&'s str> {
    Survey::of(tree).names
}

/// The same for a tree from `text`, or why it is refused.
pub(super) fn check<'s>(tree: &Term<&'s str>, text: &'s str) -> Result<HashSet<&'s str>, CompileError> {
    let survey = Survey::of(tree);
    if survey.too_deep {
        let message = format!("the filter is nested more than {MAX_NESTING} levels deep");
        return Err(CompileError::at_start(message));
    }
    match survey.recursive {
        None => Ok(survey.names),
        Some(name) => Err(CompileError::at(
            text,
            name,
            format!(
                "`{name}` has filter parameters and cannot call itself; \
                 let an inner function do so: `def {name}(f): def again: … again …; again;`"
            ),
        )),
    }
}

impl<'s> Survey<'s> {
    fn of(tree: &Term<&'s str>) -> Self {
        let mut survey =
            Self { names: HashSet::new(), scope: Vec::new(), level: 0, recursive: None, too_deep: false };
        survey.term(tree);
        survey
    }

    fn term(&mut self, term: &Term<&'s str>) {
        self.deeper(1, |survey| survey.parts(term));
    }

    /// Walks `levels` further down, unless that is too far.
    fn deeper(&mut self, levels: usize, walk: impl FnOnce(&mut Self)) {
        self.level += levels;
        self.too_deep |= self.level > MAX_NESTING;
        if !self.too_deep {
            walk(self);
        }
        self.level -= levels;
    }

    fn terms<'t>(&mut self, terms: impl IntoIterator<Item = &'t Term<&'s str>>)
    where
        's: 't,
    {
        terms.into_iter().for_each(|term| self.term(term));
    }

    fn parts(&mut self, term: &Term<&'s str>) {
        match term {
            Term::Id | Term::Recurse | Term::Num(_) | Term::Break(_) => {}
            Term::Var(name) => {
                self.names.insert(name);
            }
            Term::Str(format, parts) => {
                self.names.extend(format);
                // The interpreter adds the parts up from the right, one inside the other.
                self.deeper(parts.len(), |survey| {
                    survey.terms(parts.iter().filter_map(|part| match part {
                        StrPart::Term(term) => Some(term),
                        _ => None,
                    }));
                });
            }
            Term::Arr(inner) => self.terms(inner.as_deref()),
            Term::Obj(entries) => self.deeper(entries.len(), |survey| {
                for (key, value) in entries {
                    survey.terms([key].into_iter().chain(value));
                }
            }),
            Term::Neg(inner) | Term::Label(_, inner) => self.term(inner),
            Term::BinOp(left, op, right) => {
                self.terms([&**left, &**right]);
                if let BinaryOp::Pipe(Some(pattern)) = op {
                    self.pattern(pattern);
                }
            }
            Term::Fold(_, source, pattern, args) => {
                self.term(source);
                self.pattern(pattern);
                self.terms(args);
            }
            Term::TryCatch(body, handler) => self.terms([&**body].into_iter().chain(handler.as_deref())),
            Term::IfThenElse(branches, otherwise) => self.deeper(branches.len(), |survey| {
                for (condition, then) in branches {
                    survey.terms([condition, then]);
                }
                survey.terms(otherwise.as_deref());
            }),
            Term::Def(defs, body) => self.functions(defs, body),
            Term::Call(name, args) => self.call(name, args),
            Term::Path(head, path) => {
                self.term(head);
                self.path(path);
            }
        }
    }

    fn path(&mut self, path: &Path<Term<&'s str>>) {
        for (part, _) in &path.0 {
            match part {
                Part::Index(index) => self.term(index),
                Part::Range(from, to) => self.terms(from.iter().chain(to)),
            }
        }
    }

    fn pattern(&mut self, pattern: &Pattern<&'s str>) {
        self.deeper(1, |survey| match pattern {
            Pattern::Var(_) => {}
            Pattern::Arr(parts) => parts.iter().for_each(|part| survey.pattern(part)),
            Pattern::Obj(parts) => parts.iter().for_each(|(key, part)| {
                survey.term(key);
                survey.pattern(part);
            }),
        });
    }

    fn functions(&mut self, defs: &[Def<&'s str>], body: &Term<&'s str>) {
        let outer = self.scope.len();
        for def in defs {
            let has_filters = def.args.iter().any(|arg| !arg.starts_with('$'));
            self.scope.push(Function {
                name: def.name,
                arity: def.args.len(),
                must_not_be_called: has_filters,
            });
            self.term(&def.body);
            if let Some(function) = self.scope.last_mut() {
                function.must_not_be_called = false;
            }
        }
        self.term(body);
        self.scope.truncate(outer);
    }

    fn call(&mut self, name: &'s str, args: &[Term<&'s str>]) {
        self.names.insert(name);
        let called = self.scope.iter().rfind(|other| other.name == name && other.arity == args.len());
        if called.is_some_and(|function| function.must_not_be_called) {
            self.recursive.get_or_insert(name);
        }
        self.terms(args);
    }
}
