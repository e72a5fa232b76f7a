//! Counts what an evaluation uses, and ends it when it has used enough.
//!
//! jaq's interpreter has no budget of its own, but it cannot move without touching us: it asks the run's data for the
//! program at every term ([`crate::kernel`]), and it works on our values. Both call [`charge`], which
//!
//! - takes steps from the run's budget, more of them the deeper the native stack is, because some of jaq's work (cloning
//!   nested closures, passing an item up through nested iterators) grows with the depth;
//! - compares the address of a local variable with the one at the start of the run, so that recursion ends before the
//!   stack does;
//! - looks at the deadline, if there is one, every few hundred steps.
//!
//! jaq's interfaces at those places cannot fail, and an error would be caught by `try`. So the run is ended by
//! unwinding with [`Stop`], which [`crate::kernel`] catches at its only entry. No panic hook is called. Nothing here is
//! called while values are dropped, so unwinding cannot meet a second stop.
//!
//! Outside a run the meter is idle and everything is free.

use std::cell::Cell;
use std::panic::resume_unwind;
use std::time::Instant;

#[cfg(panic = "abort")]
compile_error!("a run over its limits is ended by unwinding; panic = \"abort\" would end the process");

/// Bytes of text that cost as much as one step.
const BYTES_PER_STEP: usize = 16;
/// So much stack is in use in any expression. Unoptimised frames are several times larger.
const FREE_STACK: usize = if cfg!(debug_assertions) { 48 << 10 } else { 8 << 10 };
/// A step costs one more for each of these many bytes of stack beyond that.
const STACK_BYTES_PER_STEP: usize = if cfg!(debug_assertions) { 8 << 10 } else { 2 << 10 };
/// How many charges pass between two looks at the clock.
const CHARGES_PER_LOOK: u32 = 256;
/// How many slices a run may put into paths (`path(.[1:])`). jaq keeps a path as a list that it frees recursively; other
/// parts of a path are bounded by the depth of values.
const MAX_PATH_SLICES: u32 = 512;

/// Why a run was ended. Never visible to the expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The steps are used up.
    Steps,
    /// The deadline has passed.
    Time,
    /// The stack given to the run is used up.
    Stack,
    /// A value would be nested too deeply, or a path would be too long.
    Depth,
}

/// What a run may use.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Budget {
    pub(crate) steps: u64,
    pub(crate) deadline: Option<Instant>,
    /// Bytes of stack below the frame that starts the run.
    pub(crate) stack: usize,
    /// Levels of nesting of any value.
    pub(crate) depth: u32,
}

struct Meter {
    steps: Cell<u64>,
    deadline: Cell<Option<Instant>>,
    charges_to_look: Cell<u32>,
    /// Address of a local variable of the frame that started the run; 0 while idle.
    top: Cell<usize>,
    stack: Cell<usize>,
    depth: Cell<u32>,
    path_slices: Cell<u32>,
}

thread_local! {
    static METER: Meter = const {
        Meter {
            steps: Cell::new(u64::MAX),
            deadline: Cell::new(None),
            charges_to_look: Cell::new(CHARGES_PER_LOOK),
            top: Cell::new(0),
            stack: Cell::new(usize::MAX),
            depth: Cell::new(u32::MAX),
            path_slices: Cell::new(u32::MAX),
        }
    };
}

impl Meter {
    fn charge(&self, steps: u64, here: usize) {
        let top = self.top.get();
        if top == 0 {
            return;
        }
        let used = top.saturating_sub(here);
        if used > self.stack.get() {
            stop(Stop::Stack);
        }
        let cost = steps.saturating_add((used.saturating_sub(FREE_STACK) / STACK_BYTES_PER_STEP) as u64);
        match self.steps.get().checked_sub(cost) {
            Some(left) => self.steps.set(left),
            None => stop(Stop::Steps),
        }
        if let Some(deadline) = self.deadline.get() {
            self.look_at_clock(deadline);
        }
    }

    fn look_at_clock(&self, deadline: Instant) {
        let left = self.charges_to_look.get();
        if left > 0 {
            self.charges_to_look.set(left - 1);
            return;
        }
        self.charges_to_look.set(CHARGES_PER_LOOK);
        if Instant::now() >= deadline {
            stop(Stop::Time);
        }
    }

    fn set(&self, budget: &Budget, top: usize, path_slices: u32) {
        self.steps.set(budget.steps);
        self.deadline.set(budget.deadline);
        self.charges_to_look.set(CHARGES_PER_LOOK);
        self.top.set(top);
        self.stack.set(budget.stack);
        self.depth.set(budget.depth);
        self.path_slices.set(path_slices);
    }
}

/// The address of the current frame, near enough.
#[allow(clippy::inline_always, reason = "a frame of its own would be the one measured")]
#[inline(always)]
fn stack_address() -> usize {
    let marker = 0_u8;
    std::hint::black_box(&raw const marker).addr()
}

/// Takes `steps` from the budget of the run on this thread.
#[inline]
pub(crate) fn charge(steps: u64) {
    let here = stack_address();
    METER.with(|meter| meter.charge(steps, here));
}

/// Charges for reading or writing `bytes` of text.
#[inline]
pub(crate) fn charge_bytes(bytes: usize) {
    charge((bytes / BYTES_PER_STEP) as u64 + 1);
}

/// Charges for walking over `items` values.
#[inline]
pub(crate) fn charge_items(items: usize) {
    charge((items as u64).saturating_add(1));
}

/// The depth of a value around `children`, the deepest of what it holds.
#[inline]
pub(crate) fn deeper_than(children: u32) -> u32 {
    let depth = children.saturating_add(1);
    if depth > METER.with(|meter| meter.depth.get()) {
        stop(Stop::Depth);
    }
    depth
}

/// Counts one slice that becomes part of a path.
pub(crate) fn count_path_slice() {
    METER.with(|meter| match meter.path_slices.get().checked_sub(1) {
        Some(left) => meter.path_slices.set(left),
        None => stop(Stop::Depth),
    });
}

/// Ends the run.
#[cold]
pub(crate) fn stop(why: Stop) -> ! {
    resume_unwind(Box::new(why))
}

/// The meter runs until this is dropped.
pub(crate) struct Running(());

impl Drop for Running {
    fn drop(&mut self) {
        let idle = Budget { steps: u64::MAX, deadline: None, stack: usize::MAX, depth: u32::MAX };
        METER.with(|meter| meter.set(&idle, 0, u32::MAX));
    }
}

/// Starts the meter of this thread. The caller's frame is where the stack is counted from.
pub(crate) fn start(budget: &Budget) -> Running {
    let top = stack_address();
    METER.with(|meter| meter.set(budget, top, MAX_PATH_SLICES));
    Running(())
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    fn stopped_by(budget: Budget, work: impl FnOnce() + std::panic::UnwindSafe) -> Option<Stop> {
        let running = start(&budget);
        let result = catch_unwind(work);
        drop(running);
        result.err().map(|payload| *payload.downcast::<Stop>().unwrap())
    }

    const BUDGET: Budget = Budget { steps: 100, deadline: None, stack: 1 << 16, depth: 3 };

    #[test]
    fn steps_are_spent_to_the_last_one() {
        assert_eq!(stopped_by(BUDGET, || charge(100)), None);
        assert_eq!(stopped_by(BUDGET, || charge(101)), Some(Stop::Steps));
        assert_eq!(stopped_by(BUDGET, || (0..101).for_each(|_| charge(1))), Some(Stop::Steps));
        assert_eq!(stopped_by(BUDGET, || charge(u64::MAX)), Some(Stop::Steps));
    }

    #[test]
    fn recursion_ends_before_the_stack_does() {
        fn recurse(levels: u64) -> u64 {
            charge(0);
            if levels == 0 { 0 } else { 1 + std::hint::black_box(recurse(levels - 1)) }
        }
        let budget = Budget { steps: u64::MAX, ..BUDGET };
        assert_eq!(stopped_by(budget, || assert_eq!(recurse(10), 10)), None);
        assert_eq!(stopped_by(budget, || assert_ne!(recurse(u64::MAX), 0)), Some(Stop::Stack));
    }

    #[test]
    fn a_deadline_in_the_past_ends_the_run_soon() {
        let budget = Budget { steps: u64::MAX, deadline: Some(Instant::now()), ..BUDGET };
        assert_eq!(stopped_by(budget, || (0..1_000).for_each(|_| charge(1))), Some(Stop::Time));
    }

    #[test]
    fn depth_is_inclusive() {
        assert_eq!(stopped_by(BUDGET, || assert_eq!(deeper_than(2), 3)), None);
        assert_eq!(stopped_by(BUDGET, || assert_ne!(deeper_than(3), 0)), Some(Stop::Depth));
    }

    #[test]
    fn outside_a_run_everything_is_free() {
        charge(u64::MAX);
        deeper_than(1 << 30);
    }
}
