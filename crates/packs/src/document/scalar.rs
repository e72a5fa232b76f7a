//! What a plain YAML scalar stands for, by the core schema of YAML 1.2: `no` is text, `0o17` a number.

use serde_json::Number;

use super::Content;

/// Resolves an unquoted scalar. `Err` for the numbers JSON does not have.
pub(crate) fn resolve(text: &str) -> Result<Content, ()> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Content::Null),
        "true" | "True" | "TRUE" => return Ok(Content::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Content::Bool(false)),
        _ => {}
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN") {
        return Err(());
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(text, digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(text, digits, 8);
    }
    if !looks_like_a_number(unsigned) {
        return Ok(Content::Text(text.to_owned()));
    }
    let plain = text.strip_prefix('+').unwrap_or(text);
    if let Ok(number) = plain.parse::<i64>() {
        return Ok(Content::Number(number.into()));
    }
    if let Ok(number) = plain.parse::<u64>() {
        return Ok(Content::Number(number.into()));
    }
    let number = plain.parse::<f64>().ok().and_then(Number::from_f64);
    number.map(Content::Number).ok_or(())
}

fn radix(text: &str, digits: &str, radix: u32) -> Result<Content, ()> {
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return Ok(Content::Text(text.to_owned()));
    }
    u64::from_str_radix(digits, radix).map(|number| Content::Number(number.into())).map_err(|_| ())
}

/// Digits with an optional fraction and exponent: `1`, `1.`, `.5`, `1.5e-3`.
fn looks_like_a_number(text: &str) -> bool {
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))),
        None => (text, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::document::Node;
    use crate::fault::Position;

    #[test]
    fn plain_scalars_follow_the_core_schema() {
        let check = |text: &str, expect: serde_json::Value| {
            let position = Position { line: 1, column: 1 };
            let content = resolve(text).unwrap();
            assert_eq!(Node { position, content }.to_json(), expect, "{text}");
        };
        check("", json!(null));
        check("~", json!(null));
        check("no", json!("no"));
        check("on", json!("on"));
        check("True", json!(true));
        check("12", json!(12));
        check("+12", json!(12));
        check("-7", json!(-7));
        check("007", json!(7));
        check("0x1F", json!(31));
        check("0o17", json!(15));
        check("0x", json!("0x"));
        check("1.5", json!(1.5));
        check("1e3", json!(1000.0));
        check(".5", json!(0.5));
        check(".", json!("."));
        check("1.2.3", json!("1.2.3"));
        check("1e", json!("1e"));
        check("-", json!("-"));
        check("+-1", json!("+-1"));
        check("2026-01-15", json!("2026-01-15"));
        check("18446744073709551615", json!(u64::MAX));
        check("inf", json!("inf"));
        check("NaN", json!("NaN"));
        for text in [".inf", "-.inf", ".nan", "1e999", "0xffffffffffffffffff"] {
            assert_eq!(resolve(text), Err(()), "{text}");
        }
    }
}
