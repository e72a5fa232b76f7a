//! Runs a compiled program inside its limits. The only place where jaq's interpreter is entered, and where a run that was
//! ended by the [`meter`] is caught.
//!
//! A run begins on the caller's stack, of which it takes a modest part. An expression that recurses beyond it is started
//! again, from the beginning, on a thread with a large stack: evaluation changes nothing, so nobody can tell but by the
//! clock. Frames of jaq's interpreter are large, and most expressions never recurse.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;
use std::time::Instant;

use jaq_core::box_iter::BoxIter;
use jaq_core::path::Opt;
use jaq_core::val::Range;
use jaq_core::{Ctx, DataT, Exn, Lut, ValT, Vars, data::HasLut};

use crate::compile::Program;
use crate::limits::{Limits, RunError};
use crate::meter::{self, Budget, Stop};
use crate::value::number::Num;
use crate::value::{self, Entries, Text, Val, ValR, ValX};

/// Stack for a run on the caller's thread. As much again may be used by what is not metered: freeing and comparing values
/// and asking nested iterators for their size. Callers have 2 MiB; unoptimised frames are several times larger.
const INLINE_STACK: usize = if cfg!(debug_assertions) { 512 << 10 } else { 192 << 10 };
/// Stack for a run on a thread of its own.
const THREAD_STACK: usize = if cfg!(debug_assertions) { 16 << 20 } else { 4 << 20 };
/// What the thread gets besides, for what is not metered.
const UNMETERED_STACK: usize = THREAD_STACK + (4 << 20);
/// A raised error is shortened to this many characters.
const MAX_MESSAGE_CHARS: usize = 512;

/// The kind of data the interpreter runs on: our values, and nothing to reach from natives.
pub(crate) struct Kernel;

impl DataT for Kernel {
    type V<'a> = Val;
    type Data<'a> = Metered<'a>;
}

/// The program as the interpreter sees it. It asks for it at every term, and copies it with every closure, and pays.
pub(crate) struct Metered<'a>(&'a Lut<Kernel>);

impl Clone for Metered<'_> {
    fn clone(&self) -> Self {
        meter::charge(1);
        Self(self.0)
    }
}

impl<'a> HasLut<'a, Kernel> for Metered<'a> {
    fn lut(&self) -> &'a Lut<Kernel> {
        meter::charge(1);
        self.0
    }
}

/// Evaluates `program` and hands its outputs to `collect`, which must take what it needs out of the values.
///
/// `read` makes the input and the values of the variables. Both are called again if the run moves to another thread.
pub(crate) fn evaluate<T: Send>(
    program: &Program,
    limits: &Limits,
    read: impl Fn() -> Result<(Val, Vec<Val>), RunError> + Sync,
    collect: impl Fn(&mut dyn Iterator<Item = Result<Val, RunError>>) -> Result<T, RunError> + Sync,
) -> Result<T, RunError> {
    let deadline = limits.time.and_then(|time| Instant::now().checked_add(time));
    let attempt = |stack| {
        let budget = Budget { steps: limits.steps, deadline, stack, depth: limits.effective_depth() };
        let _running = meter::start(&budget);
        let run = AssertUnwindSafe(|| {
            let (input, variables) = read()?;
            collect(&mut outputs(program, input, variables))
        });
        catch_unwind(run).unwrap_or_else(|payload| match payload.downcast::<Stop>() {
            Ok(stop) => Err(stopped(*stop, limits)),
            Err(_) => Err(RunError::Internal),
        })
    };
    match attempt(INLINE_STACK) {
        Err(RunError::Recursion) => on_large_stack(|| attempt(THREAD_STACK)),
        result => result,
    }
}

fn outputs(
    program: &Program,
    input: Val,
    variables: Vec<Val>,
) -> impl Iterator<Item = Result<Val, RunError>> + '_ {
    let context = Ctx::<Kernel>::new(Metered(&program.filter.lut), Vars::new(variables));
    program.filter.id.run((context, input)).map(|output| {
        output.map_err(|exception| match exception.get_err() {
            Ok(error) => RunError::Raised(message(&error.into_val())),
            Err(_) => RunError::Internal,
        })
    })
}

/// What an error says: a string as it is, anything else as JSON.
fn message(raised: &Val) -> String {
    let text = match raised {
        Val::Str(text) => text.as_str().to_owned(),
        other => value::write::to_json(other),
    };
    match text.char_indices().nth(MAX_MESSAGE_CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

fn stopped(stop: Stop, limits: &Limits) -> RunError {
    match stop {
        Stop::Steps => RunError::Steps(limits.steps),
        Stop::Time => RunError::Time(limits.time.unwrap_or_default()),
        Stop::Stack => RunError::Recursion,
        Stop::Depth => RunError::Depth(limits.effective_depth()),
    }
}

fn on_large_stack<T: Send>(run: impl FnOnce() -> Result<T, RunError> + Send) -> Result<T, RunError> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("jq".to_owned())
            .stack_size(THREAD_STACK + UNMETERED_STACK)
            .spawn_scoped(scope, run);
        // A machine that cannot give a thread leaves the run where it was.
        thread.map_or(Err(RunError::Recursion), |thread| thread.join().unwrap_or(Err(RunError::Internal)))
    })
}

fn no_update<'a>() -> Exn<'a, Val> {
    Exn::from(value::fault("updates are not supported here"))
}

/// What the interpreter does to values.
impl ValT for Val {
    fn from_num(digits: &str) -> ValR {
        Ok(Self::Num(Num::from_expression(digits)))
    }

    fn from_map<I: IntoIterator<Item = (Self, Self)>>(pairs: I) -> ValR {
        let entry = |(key, value): (Self, Self)| match key {
            Self::Str(key) => {
                meter::charge_bytes(key.as_str().len());
                Ok((key, value))
            }
            other => Err(value::fault(format!("{} cannot be a key", other.kind()))),
        };
        pairs.into_iter().map(entry).collect::<Result<Entries, _>>().map(Self::object)
    }

    fn key_values(self) -> BoxIter<'static, jaq_core::ValR<(Self, Self), Self>> {
        value::key_values(self)
    }

    fn values(self) -> BoxIter<'static, ValR> {
        value::values(self)
    }

    fn index(self, index: &Self) -> ValR {
        value::index(self, index)
    }

    fn range(self, bounds: Range<&Self>) -> ValR {
        value::slice(self, bounds)
    }

    // jaq's own updates: never reached, because assignments are rewritten (`compile/rewrite.rs`).

    fn map_values<'a, I: Iterator<Item = ValX<'a>>>(self, _: Opt, _: impl Fn(Self) -> I) -> ValX<'a> {
        Err(no_update())
    }

    fn map_index<'a, I: Iterator<Item = ValX<'a>>>(
        self,
        _: &Self,
        _: Opt,
        _: impl Fn(Self) -> I,
    ) -> ValX<'a> {
        Err(no_update())
    }

    fn map_range<'a, I: Iterator<Item = ValX<'a>>>(
        self,
        _: Range<&Self>,
        _: Opt,
        _: impl Fn(Self) -> I,
    ) -> ValX<'a> {
        Err(no_update())
    }

    fn as_bool(&self) -> bool {
        !matches!(self, Self::Null(_) | Self::Bool(false))
    }

    fn into_string(self) -> Self {
        value::write::into_text(self)
    }
}

/// What jaq's standard library needs to know of values.
impl jaq_std::ValT for Val {
    fn into_seq<S: FromIterator<Self>>(self) -> Result<S, Self> {
        match self {
            Self::Arr(array) => {
                meter::charge_items(array.items.len());
                Ok(array.items.iter().cloned().collect())
            }
            other => Err(other),
        }
    }

    fn is_int(&self) -> bool {
        matches!(self, Self::Num(number) if number.as_integer().is_some())
    }

    fn as_isize(&self) -> Option<isize> {
        match self {
            Self::Num(number) => number.as_integer().and_then(|integer| integer.try_into().ok()),
            _ => None,
        }
    }

    fn as_f64(&self) -> Option<f64> {
        self.float().ok()
    }

    fn is_utf8_str(&self) -> bool {
        matches!(self, Self::Str(_))
    }

    fn as_bytes(&self) -> Option<&[u8]> {
        let text = self.as_str()?;
        meter::charge_bytes(text.len());
        Some(text.as_bytes())
    }

    fn as_sub_str(&self, part: &[u8]) -> Self {
        Self::from_utf8_bytes(part.to_vec())
    }

    fn from_utf8_bytes(bytes: impl AsRef<[u8]> + Send + 'static) -> Self {
        let bytes = bytes.as_ref();
        meter::charge_bytes(bytes.len());
        Self::Str(Text::from(String::from_utf8_lossy(bytes).into_owned()))
    }
}
