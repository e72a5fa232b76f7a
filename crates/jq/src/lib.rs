//! jq expressions: compiled once, run for each event, bounded in everything.
//!
//! ```text
//! let filter = Filter::compile(".data.amount > 100")?;
//! let wanted = filter.is_true(Input::json(bytes), &Limits::default())?;
//! ```
//!
//! Variables and the time have names when the expression is compiled, and values when it runs. The same values give the
//! same result at any later time:
//!
//! ```text
//! let options = Options { variables: &["$context", "$input", "$secrets"], now: true };
//! let filter = Filter::compile_with("{id: $input.id, at: (now | todate), n: ($context.n + 1)}", &options)?;
//! let input = Input::value(&input).with_variable_refs(&[&context, &input, &secrets]).with_now(started_at_s);
//! let made = filter.run_one(input, &Limits::default())?;
//! ```
//!
//! Expressions come from people and programs outside, and see events from outside. The language is jq as [`jaq`] runs it;
//! jaq itself sets no bounds, so this crate does:
//!
//! - **What it can reach.** An expression reads its input and the variables it was compiled with, nothing else: no
//!   environment, files, clock, time zone, further inputs or standard streams (`natives`, `prelude.jq`). The time is a
//!   value the caller may bind ([`Options::now`]).
//! - **How long it runs.** A budget of steps ([`Limits::steps`]), counted where jaq cannot avoid us (`meter`). A step
//!   takes some 20 to 100 nanoseconds. The same expression on the same input takes the same steps, give or take what the
//!   cache of compiled regular expressions saves, so an expression does not fail because the machine is busy. A deadline
//!   can be set besides.
//! - **What memory it takes.** At most some 100 to 200 bytes a step.
//! - **How deep it goes.** Values have a limit of nesting, kept while they are built; recursion has a limit of stack.
//! - **How much it yields.** Outputs and their bytes are limited.
//!
//! No limit can be caught by `try`. When one is hit the run ends with an error that says which, and the process is no
//! worse for it: the stack is never overrun, memory is bounded, nothing panics.
//!
//! # Worst case
//!
//! [`Limits::filter`] ends within about 10 milliseconds and 20 MiB on a server's core, [`Limits::default`] within about a
//! tenth of a second and 200 MiB. Usual filters take microseconds and run where they are called; nothing waits, so
//! both may be called from async code. Only an expression that recurses beyond a small stack is started again on a
//! thread of its own, which costs some 50 microseconds more.
//!
//! # Differences from jq
//!
//! `tests/corpus/` compares with the real jq and lists every known difference, as does `docs/jq.md`. In short: integers are exact
//! beyond 53 bits; regular expressions are those of the `regex` crate, without look-around and backreferences, which is
//! what makes them safe; a result that is not finite is an error; a function with filter parameters cannot call itself
//! ([`CompileError`] says what to write instead); messages of errors name types and keys, never values.
//!
//! [`jaq`]: https://github.com/01mf02/jaq

mod compile;
mod filter;
mod kernel;
mod limits;
mod meter;
mod natives;
mod value;

pub use compile::{CompileError, MAX_TEXT_BYTES, Options};
pub use filter::{Filter, Input};
pub use limits::{Limits, MAX_DEPTH, RunError};
pub use value::read::InputError;
