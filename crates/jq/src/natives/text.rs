//! Functions on text that jaq's library lacks or does differently from jq.

use jaq_core::native::{unary, v};

use crate::meter;
use crate::natives::{Native, one};
use crate::value::{Error, Val, ValR, fault};

/// The functions.
pub(super) fn natives() -> Vec<Native> {
    vec![
        ("implode", v(0), |cv| one(implode(&cv.1))),
        ("ltrimstr", v(1), |cv| unary(cv, |text, part| Ok(trim(text, &part, true, false)))),
        ("rtrimstr", v(1), |cv| unary(cv, |text, part| Ok(trim(text, &part, false, true)))),
        ("trimstr", v(1), |cv| unary(cv, |text, part| Ok(trim(text, &part, true, true)))),
    ]
}

/// Characters from their numbers.
fn implode(codes: &Val) -> ValR {
    let items = codes.items()?;
    meter::charge_items(items.len());
    let text: String = items.iter().map(character).collect::<Result<_, _>>()?;
    Ok(Val::string(text))
}

fn character(code: &Val) -> Result<char, Error> {
    let code = code.float()?;
    let whole = code >= 0.0 && code <= f64::from(u32::MAX);
    let found = whole.then_some(code as u32).and_then(char::from_u32);
    found.ok_or_else(|| fault("a number is not a character"))
}

/// Without `part` at the wanted ends, if both are text; anything else stays as it is.
fn trim(text: Val, part: &Val, start: bool, end: bool) -> Val {
    let (Some(whole), Some(part)) = (text.as_str(), part.as_str()) else { return text };
    meter::charge_bytes(part.len());
    let mut rest = whole;
    if start {
        rest = rest.strip_prefix(part).unwrap_or(rest);
    }
    if end {
        rest = rest.strip_suffix(part).unwrap_or(rest);
    }
    if rest.len() == whole.len() { text } else { Val::string(rest) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_characters_become_text() {
        let text = |codes: &[f64]| implode(&codes.iter().map(|code| Val::from(*code)).collect()).ok();
        assert_eq!(text(&[65.0, 128_512.0]), Some(Val::string("A😀")));
        for wrong in [-1.0, 55_296.0, 1_114_112.0, 1e300, f64::NAN, f64::INFINITY] {
            assert_eq!(text(&[wrong]), None, "{wrong}");
        }
    }

    #[test]
    fn trimming_leaves_what_is_not_text() {
        let val = |text: &str| Val::string(text);
        assert_eq!(trim(val("xax"), &val("x"), true, true), val("a"));
        assert_eq!(trim(val("x"), &val("x"), true, true), val(""));
        assert_eq!(trim(val("xax"), &Val::from(1_usize), true, true), val("xax"));
        assert_eq!(trim(Val::from(1_usize), &val("x"), true, false), Val::from(1_usize));
    }
}
