//! What a run may use, and how a run can fail.

use std::time::Duration;

use crate::value::read::InputError;

/// The deepest nesting that [`Limits::depth`] can allow: values are compared, written and freed recursively.
pub const MAX_DEPTH: u32 = 512;

/// What one run of a filter may use. Copied freely; change single fields with struct update syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Steps: one for each term of the expression that is evaluated, each item that is walked over or compared, and each
    /// 16 bytes of text that are read or written.
    pub steps: u64,
    /// Time on the clock, for callers who would rather have an error than wait on a busy machine. `None`, the default,
    /// leaves it to the steps, which make the outcome repeatable.
    pub time: Option<Duration>,
    /// Levels of nesting of arrays and objects, in inputs, results and between; at most [`MAX_DEPTH`].
    pub depth: u32,
    /// Bytes of JSON text read as input. Reading is not counted in steps; a value takes up to 30 times its text in memory.
    pub input_bytes: usize,
    /// Outputs of one run.
    pub outputs: usize,
    /// Bytes of all outputs together, as JSON text.
    pub output_bytes: usize,
}

impl Default for Limits {
    /// Enough to transform a payload of some hundred kilobytes.
    fn default() -> Self {
        Self {
            steps: 1_000_000,
            time: None,
            depth: 128,
            input_bytes: 2 << 20,
            outputs: 10_000,
            output_bytes: 4 << 20,
        }
    }
}

impl Limits {
    /// For deciding about an event on a busy path: a tenth of the steps of the default.
    pub fn filter() -> Self {
        Self { steps: 100_000, ..Self::default() }
    }

    /// The depth that is kept to.
    pub(crate) fn effective_depth(&self) -> u32 {
        self.depth.min(MAX_DEPTH)
    }
}

/// Why a run gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The input cannot be read.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The values do not match the variables the filter was compiled with.
    #[error("the filter has {expected} variables, {given} values were given")]
    Variables {
        /// How many variables the filter has.
        expected: usize,
        /// How many values were given.
        given: usize,
    },
    /// The filter uses `now`, and no time was given.
    #[error("the filter uses `now`, and no time was given")]
    NoTime,
    /// The expression raised an error, itself or by something it did. Text from the expression or its input, shortened.
    #[error("{0}")]
    Raised(String),
    /// The steps are used up.
    #[error("the filter took more than {0} steps")]
    Steps(u64),
    /// The time is up.
    #[error("the filter took longer than {0:?}")]
    Time(Duration),
    /// A value was nested too deeply.
    #[error("the filter made a value nested more than {0} levels deep")]
    Depth(u32),
    /// The expression recursed too deeply.
    #[error("the filter recursed too deeply")]
    Recursion,
    /// There were more outputs than allowed.
    #[error("the filter gave more than {0} results")]
    Outputs(usize),
    /// The outputs were longer than allowed.
    #[error("the results of the filter are longer than {0} bytes")]
    OutputBytes(usize),
    /// A result holds a number that is not finite, which JSON cannot.
    #[error("a result of the filter holds a number that is not finite")]
    NotFinite,
    /// One result was wanted and there was none.
    #[error("the filter gave no result")]
    NoOutput,
    /// One result was wanted and there were several.
    #[error("the filter gave more than one result")]
    SeveralOutputs,
    /// A fault of this crate or of jaq.
    #[error("the filter could not be run")]
    Internal,
}

impl RunError {
    /// Tells whether a limit of the run was hit.
    pub fn is_limit(&self) -> bool {
        match self {
            Self::Steps(_)
            | Self::Time(_)
            | Self::Depth(_)
            | Self::Recursion
            | Self::Outputs(_)
            | Self::OutputBytes(_) => true,
            Self::Input(error) => !matches!(error, InputError::Malformed { .. }),
            _ => false,
        }
    }
}
