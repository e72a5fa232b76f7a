//! Mathematical functions on doubles, as the C library has them. `jn` and `yn` are left out: they take time in proportion
//! to their argument.

use jaq_core::native::v;
use jaq_core::{Cv, ValXs};

use crate::kernel::Kernel;
use crate::natives::{Native, one};
use crate::value::number::Num;
use crate::value::{Val, ValR};

/// The functions.
pub(super) fn natives() -> Vec<Native> {
    let mut natives = constants();
    natives.extend(of_one());
    natives.extend(of_more());
    natives
}

fn constants() -> Vec<Native> {
    vec![
        ("infinite", v(0), |_| one(Ok(Val::Num(Num::Float(f64::INFINITY))))),
        ("nan", v(0), |_| one(Ok(Val::Num(Num::Float(f64::NAN))))),
        ("isinfinite", v(0), |cv| one(cv.1.float().map(|x| x.is_infinite().into()))),
        ("isnan", v(0), |cv| one(cv.1.float().map(|x| x.is_nan().into()))),
        ("isnormal", v(0), |cv| one(cv.1.float().map(|x| x.is_normal().into()))),
    ]
}

fn of_one() -> Vec<Native> {
    vec![
        ("acos", v(0), |cv| f1(&cv, f64::acos)),
        ("acosh", v(0), |cv| f1(&cv, f64::acosh)),
        ("asin", v(0), |cv| f1(&cv, f64::asin)),
        ("asinh", v(0), |cv| f1(&cv, f64::asinh)),
        ("atan", v(0), |cv| f1(&cv, f64::atan)),
        ("atanh", v(0), |cv| f1(&cv, f64::atanh)),
        ("cbrt", v(0), |cv| f1(&cv, f64::cbrt)),
        ("cos", v(0), |cv| f1(&cv, f64::cos)),
        ("cosh", v(0), |cv| f1(&cv, f64::cosh)),
        ("erf", v(0), |cv| f1(&cv, libm::erf)),
        ("erfc", v(0), |cv| f1(&cv, libm::erfc)),
        ("exp", v(0), |cv| f1(&cv, f64::exp)),
        ("exp10", v(0), |cv| f1(&cv, libm::exp10)),
        ("exp2", v(0), |cv| f1(&cv, f64::exp2)),
        ("expm1", v(0), |cv| f1(&cv, f64::exp_m1)),
        ("fabs", v(0), |cv| f1(&cv, f64::abs)),
        ("j0", v(0), |cv| f1(&cv, libm::j0)),
        ("j1", v(0), |cv| f1(&cv, libm::j1)),
        ("lgamma", v(0), |cv| f1(&cv, libm::lgamma)),
        ("log", v(0), |cv| f1(&cv, f64::ln)),
        ("log10", v(0), |cv| f1(&cv, f64::log10)),
        ("log1p", v(0), |cv| f1(&cv, f64::ln_1p)),
        ("log2", v(0), |cv| f1(&cv, f64::log2)),
        ("logb", v(0), |cv| f1(&cv, logb)),
        ("rint", v(0), |cv| f1(&cv, f64::round_ties_even)),
        ("significand", v(0), |cv| f1(&cv, significand)),
        ("sin", v(0), |cv| f1(&cv, f64::sin)),
        ("sinh", v(0), |cv| f1(&cv, f64::sinh)),
        ("sqrt", v(0), |cv| f1(&cv, f64::sqrt)),
        ("tan", v(0), |cv| f1(&cv, f64::tan)),
        ("tanh", v(0), |cv| f1(&cv, f64::tanh)),
        ("tgamma", v(0), |cv| f1(&cv, libm::tgamma)),
        ("trunc", v(0), |cv| f1(&cv, f64::trunc)),
        ("y0", v(0), |cv| f1(&cv, libm::y0)),
        ("y1", v(0), |cv| f1(&cv, libm::y1)),
        ("frexp", v(0), |cv| one(frexp(&cv.1))),
        ("modf", v(0), |cv| one(modf(&cv.1))),
    ]
}

fn of_more() -> Vec<Native> {
    vec![
        ("atan2", v(2), |cv| f2(cv, f64::atan2)),
        ("copysign", v(2), |cv| f2(cv, f64::copysign)),
        ("drem", v(2), |cv| f2(cv, libm::remainder)),
        ("fdim", v(2), |cv| f2(cv, libm::fdim)),
        ("fmax", v(2), |cv| f2(cv, f64::max)),
        ("fmin", v(2), |cv| f2(cv, f64::min)),
        ("fmod", v(2), |cv| f2(cv, |x, y| x % y)),
        ("hypot", v(2), |cv| f2(cv, f64::hypot)),
        ("ldexp", v(2), |cv| f2(cv, |x, y| libm::scalbn(x, y as i32))),
        ("nextafter", v(2), |cv| f2(cv, libm::nextafter)),
        ("pow", v(2), |cv| f2(cv, f64::powf)),
        ("remainder", v(2), |cv| f2(cv, libm::remainder)),
        ("scalb", v(2), |cv| f2(cv, |x, y| x * y.exp2())),
        ("fma", v(3), |mut cv| {
            let [z, y, x] = [cv.0.pop_var(), cv.0.pop_var(), cv.0.pop_var()];
            one((|| Ok(x.float()?.mul_add(y.float()?, z.float()?).into()))())
        }),
    ]
}

fn f1<'a>(cv: &Cv<'a, Kernel>, f: fn(f64) -> f64) -> ValXs<'a, Val> {
    one(cv.1.float().map(|x| f(x).into()))
}

fn f2(mut cv: Cv<'_, Kernel>, f: fn(f64, f64) -> f64) -> ValXs<'_, Val> {
    let [y, x] = [cv.0.pop_var(), cv.0.pop_var()];
    one((|| Ok(f(x.float()?, y.float()?).into()))())
}

/// The exponent of the number as a double.
fn logb(x: f64) -> f64 {
    if x == 0.0 {
        f64::NEG_INFINITY
    } else if x.is_finite() {
        f64::from(libm::ilogb(x))
    } else {
        x * x
    }
}

/// The number scaled into 1 up to 2.
fn significand(x: f64) -> f64 {
    if x == 0.0 || !x.is_finite() { x } else { libm::scalbn(x, -libm::ilogb(x)) }
}

fn frexp(value: &Val) -> ValR {
    let x = value.float()?;
    let (fraction, exponent) = if x.is_finite() { libm::frexp(x) } else { (x, 0) };
    Ok(Val::array(vec![fraction.into(), f64::from(exponent).into()]))
}

fn modf(value: &Val) -> ValR {
    let x = value.float()?;
    let fraction = if x.is_infinite() { 0.0_f64.copysign(x) } else { x.fract() };
    Ok(Val::array(vec![fraction.into(), x.trunc().into()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges_are_as_in_c() {
        assert_eq!((logb(10.5), logb(0.0), logb(f64::NEG_INFINITY)), (3.0, f64::NEG_INFINITY, f64::INFINITY));
        assert_eq!((significand(10.5), significand(0.0)), (1.3125, 0.0));
        let pair = |x: f64, y: f64| Val::array(vec![x.into(), y.into()]);
        assert_eq!(frexp(&10.5.into()).unwrap(), pair(0.656_25, 4.0));
        assert_eq!(modf(&(-10.5).into()).unwrap(), pair(-0.5, -10.0));
        assert_eq!(modf(&f64::INFINITY.into()).unwrap(), pair(0.0, f64::INFINITY));
    }
}
