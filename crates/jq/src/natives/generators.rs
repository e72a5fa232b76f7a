//! Functions with many outputs.

use jaq_core::ValXs;
use jaq_core::native::v;

use crate::meter;
use crate::natives::{Native, one};
use crate::value::{Val, fault};

/// The functions.
pub(super) fn natives() -> Vec<Native> {
    vec![("range", v(3), |mut cv| {
        let [by, to, from] = [cv.0.pop_var(), cv.0.pop_var(), cv.0.pop_var()];
        range(from, to, by)
    })]
}

/// From `from` up or down to, and without, `to`; nothing for a step of zero.
fn range<'a>(from: Val, to: Val, by: Val) -> ValXs<'a, Val> {
    let (Val::Num(mut next), Val::Num(to), Val::Num(by)) = (from, to, by) else {
        return one(Err(fault("the bounds of a range must be numbers")));
    };
    let direction = by.as_f64();
    Box::new(std::iter::from_fn(move || {
        meter::charge(1);
        let goes_on = if direction > 0.0 {
            next.order(&to).is_lt()
        } else {
            direction < 0.0 && next.order(&to).is_gt()
        };
        goes_on.then(|| {
            let following = next.add(&by);
            Ok(Val::Num(std::mem::replace(&mut next, following)))
        })
    }))
}
