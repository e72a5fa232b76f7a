//! The formats `@csv`, `@html` and so on. `@text` and `@json` are in the prelude.

use base64::Engine;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use jaq_core::native::v;

use crate::meter;
use crate::natives::{Native, one};
use crate::value::{Error, Val, ValR, fault, write};

/// Reads with or without padding, as jq does.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The functions.
pub(super) fn natives() -> Vec<Native> {
    vec![
        ("@csv", v(0), |cv| one(row(&cv.1, ",", csv_cell))),
        ("@tsv", v(0), |cv| one(row(&cv.1, "\t", tsv_cell))),
        ("@sh", v(0), |cv| one(shell(&cv.1))),
        ("@html", v(0), |cv| one(Ok(on_text(cv.1, html)))),
        ("@uri", v(0), |cv| one(Ok(on_text(cv.1, percent_encode)))),
        ("@urid", v(0), |cv| one(percent_decode(cv.1))),
        ("@base64", v(0), |cv| one(Ok(on_text(cv.1, |text| BASE64.encode(text))))),
        ("@base64d", v(0), |cv| one(base64_decode(cv.1))),
    ]
}

/// Applies `format` to the text of any value.
fn on_text(value: Val, format: fn(&str) -> String) -> Val {
    let text = write::into_text(value);
    let text = text.as_str().unwrap_or_default();
    meter::charge_bytes(text.len());
    Val::string(format(text))
}

fn row(value: &Val, separator: &str, cell: fn(&Val) -> Result<String, Error>) -> ValR {
    let items = value.items()?;
    meter::charge_items(items.len());
    let cells: Vec<String> = items.iter().map(cell).collect::<Result<_, _>>()?;
    Ok(Val::string(cells.join(separator)))
}

/// A scalar in a row; null is an empty cell.
fn cell(value: &Val, of_text: impl FnOnce(&str) -> String) -> Result<String, Error> {
    match value {
        Val::Null(_) => Ok(String::new()),
        Val::Str(text) => {
            meter::charge_bytes(text.as_str().len());
            Ok(of_text(text.as_str()))
        }
        Val::Bool(_) | Val::Num(_) => Ok(write::to_json(value)),
        other => Err(fault(format!("{} cannot be a cell of a row", other.kind()))),
    }
}

fn csv_cell(value: &Val) -> Result<String, Error> {
    cell(value, |text| format!("\"{}\"", text.replace('"', "\"\"")))
}

fn tsv_cell(value: &Val) -> Result<String, Error> {
    cell(value, |text| {
        text.replace('\\', "\\\\").replace('\t', "\\t").replace('\n', "\\n").replace('\r', "\\r")
    })
}

fn shell(value: &Val) -> ValR {
    let words = match value {
        Val::Arr(array) => &array.items,
        single => std::slice::from_ref(single),
    };
    meter::charge_items(words.len());
    let words: Vec<String> = words.iter().map(shell_word).collect::<Result<_, _>>()?;
    Ok(Val::string(words.join(" ")))
}

fn shell_word(value: &Val) -> Result<String, Error> {
    match value {
        Val::Str(text) => {
            meter::charge_bytes(text.as_str().len());
            Ok(format!("'{}'", text.as_str().replace('\'', "'\\''")))
        }
        Val::Arr(_) | Val::Obj(_) => Err(fault(format!("{} cannot be a word of a shell", value.kind()))),
        scalar => Ok(write::to_json(scalar)),
    }
}

fn html(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '\'' => escaped.push_str("&#39;"),
            '"' => escaped.push_str("&quot;"),
            char => escaped.push(char),
        }
    }
    escaped
}

fn percent_encode(text: &str) -> String {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            let digits = [byte >> 4, byte & 15].map(|digit| char::from(HEX[usize::from(digit)]));
            encoded.extend(['%', digits[0], digits[1]]);
        }
    }
    encoded
}

fn percent_decode(value: Val) -> ValR {
    let text = write::into_text(value);
    let mut rest = text.text()?.as_bytes();
    meter::charge_bytes(rest.len());
    let mut decoded = Vec::with_capacity(rest.len());
    while let Some((first, after)) = rest.split_first() {
        let byte = match (first, after) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                hex_digit(*high).zip(hex_digit(*low)).map(|(high, low)| high << 4 | low)
            }
            (b'%', _) => None,
            (byte, after) => {
                rest = after;
                Some(*byte)
            }
        };
        decoded.push(byte.ok_or_else(|| fault("the text is not percent-encoded"))?);
    }
    Ok(text_from(&decoded))
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

fn base64_decode(value: Val) -> ValR {
    let text = write::into_text(value);
    let text = text.text()?;
    meter::charge_bytes(text.len());
    Ok(text_from(&BASE64.decode(text).map_err(|_| fault("the text is not base64"))?))
}

/// Bytes as text; what is not UTF-8 becomes U+FFFD.
fn text_from(bytes: &[u8]) -> Val {
    Val::string(String::from_utf8_lossy(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::read::from_json;

    fn val(json: &str) -> Val {
        from_json(json.as_bytes(), 10).unwrap()
    }

    #[test]
    fn rows_and_words() {
        let cells = val(r#"[1.50,"a\"b\tc\\",null,true]"#);
        assert_eq!(row(&cells, ",", csv_cell).unwrap(), Val::string("1.50,\"a\"\"b\tc\\\",,true"));
        assert_eq!(row(&cells, "\t", tsv_cell).unwrap(), Val::string("1.50\ta\"b\\tc\\\\\t\ttrue"));
        assert!(row(&val("[[]]"), ",", csv_cell).is_err() && row(&val("1"), ",", csv_cell).is_err());
        assert_eq!(shell(&val(r#"["it's",1,null]"#)).unwrap(), Val::string("'it'\\''s' 1 null"));
        assert!(shell(&val("{}")).is_err());
    }

    #[test]
    fn escapes() {
        assert_eq!(html("<'\"&>é"), "&lt;&#39;&quot;&amp;&gt;é");
        assert_eq!(percent_encode("a b/é~"), "a%20b%2F%C3%A9~");
        assert_eq!(percent_decode(val("\"a%20%c3%A9+\"")).unwrap(), Val::string("a é+"));
        assert!(percent_decode(val("\"%zz\"")).is_err() && percent_decode(val("\"%\"")).is_err());
    }

    #[test]
    fn base64_reads_what_jq_reads() {
        for (encoded, text) in [("aGVsbG8=", "hello"), ("aGVsbG8", "hello"), ("", ""), ("/w==", "\u{fffd}")] {
            assert_eq!(base64_decode(Val::string(encoded)).unwrap(), Val::string(text), "{encoded}");
        }
        assert!(base64_decode(Val::string("a!")).is_err());
    }
}
