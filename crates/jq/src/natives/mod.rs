//! The functions that are not written in jq: a list of what is allowed in, and our own.
//!
//! Nothing here reads anything but its arguments: no environment, no files, no clock, no time zone, no streams. From jaq's
//! own functions only the named ones are taken, so a new one of a later jaq does not slip in. All of them work through
//! [`Val`](crate::value::Val)'s operations, which charge for what they do; ours charge themselves.

use jaq_core::native::{self, Fun};
use jaq_core::{RunPtr, ValXs};

use crate::kernel::Kernel;
use crate::value::{Val, ValR};

mod dates;
mod formats;
mod generators;
mod json;
mod math;
mod regex;
mod text;
pub(crate) mod updates;

/// Functions of the interpreter's core, generators for the most part.
const FROM_JAQ_CORE: &[&str] =
    &["error_empty", "first", "key_values", "keys_unsorted", "last", "limit", "path", "path_value", "skip"];

/// Functions of jaq's standard library.
const FROM_JAQ_STD: &[&str] = &[
    "ascii_downcase",
    "ascii_upcase",
    "ceil",
    "endswith",
    "explode",
    "floor",
    "group_by",
    "ltrim",
    "max_by_or_empty",
    "min_by_or_empty",
    "round",
    "rtrim",
    "sort",
    "sort_by",
    "startswith",
    "trim",
    "utf8bytelength",
];

/// A function of ours: name, parameters, code.
type Native = native::Filter<RunPtr<Kernel>>;

/// Every function an expression can call that is not written in jq.
pub(crate) fn all() -> impl Iterator<Item = Fun<Kernel>> {
    let core = jaq_core::funs().filter(|(name, ..)| FROM_JAQ_CORE.contains(name));
    let std = jaq_std::base_funs().filter(|(name, ..)| FROM_JAQ_STD.contains(name));
    let ours = [
        json::natives(),
        text::natives(),
        formats::natives(),
        generators::natives(),
        math::natives(),
        dates::natives(),
        regex::natives(),
        updates::natives(),
    ];
    core.chain(std).chain(ours.into_iter().flatten().map(native::run::<Kernel>))
}

/// The one result of a function.
fn one<'a>(result: ValR) -> ValXs<'a, Val> {
    native::bome(result)
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn every_allowed_function_exists_once() {
        let mut seen = HashMap::new();
        for (name, params, _) in all() {
            *seen.entry((name, params.len())).or_insert(0) += 1;
        }
        let twice: Vec<_> = seen.iter().filter(|(_, times)| **times > 1).collect();
        assert!(twice.is_empty(), "{twice:?}");
        for name in FROM_JAQ_CORE.iter().chain(FROM_JAQ_STD) {
            assert!(seen.keys().any(|(seen, _)| seen == name), "{name}");
        }
    }
}
