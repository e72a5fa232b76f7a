//! Tracking: what drivers' phones send, made into arrivals, estimates and figures. Pure: no I/O but what an [`eta`] provider
//! does, and the time comes with each fix.
//!
//! ```text
//! phone ─▶ judge (marks) ─▶ reorder (bounded) ─▶ fences (arrived, left, passed) ─▶ statistics
//! ```
//!
//! Nothing that a phone sends is an error: what cannot be believed is marked and kept, and the steps behind leave it out.
//! One [`Track`] follows one driver; tracks share the [`FenceIndex`]. Its parts can be put down and taken up again, which
//! is what [`crate::operations::tracking`] does between two calls.

pub mod eta;
pub mod fence;
pub mod fix;
pub mod formats;
pub mod reorder;
pub mod statistics;

pub use eta::{Eta, EtaChain, EtaError, EtaProvider, StraightLine};
pub use fence::{Fence, FenceEvent, FenceIndex, FenceRules, FenceTrack, Visit};
pub use fix::{Fix, Judge, Mark, Report, Seen};
pub use formats::Sample;
pub use reorder::Reorder;
pub use statistics::{Figures, Odometer};

/// Follows one driver through all steps.
#[derive(Debug, Default)]
pub struct Track {
    judge: Judge,
    reorder: Reorder,
    fences: FenceTrack,
    odometer: Odometer,
    figures: Figures,
}

/// What one report led to.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// Fixes in the order of their time, marked: what is stored.
    pub fixes: Vec<Fix>,
    /// What they say about fences.
    pub events: Vec<FenceEvent>,
}

impl Track {
    /// Takes a report; gives the fixes that are settled by it and what they say.
    pub fn take(&mut self, report: Report, index: &FenceIndex) -> Step {
        let settled = self.reorder.push(Fix::new(report));
        self.follow(settled, index)
    }

    /// Settles what still waits for earlier fixes, at the end of a shift.
    pub fn finish(&mut self, index: &FenceIndex) -> Step {
        let settled = self.reorder.flush();
        self.follow(settled, index)
    }

    fn follow(&mut self, mut fixes: Vec<Fix>, index: &FenceIndex) -> Step {
        let mut events = Vec::new();
        for fix in &mut fixes {
            self.judge.judge(fix);
            self.odometer.note_fix(fix, &mut self.figures);
            for event in self.fences.follow(fix, index) {
                self.figures.note_event(&event);
                events.push(event);
            }
        }
        Step { fixes, events }
    }

    /// The driver's figures so far.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }
}

#[cfg(test)]
mod tests;
