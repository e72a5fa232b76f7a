//! Values from JSON text and from `serde_json`.
//!
//! Text is read straight into values, strictly by RFC 8259: no comments, no `NaN`, no lone surrogates, one value. The last
//! of several equal keys counts. Numbers keep their digits ([`Num`]).

use std::borrow::Cow;
use std::rc::Rc;

use hifijson::SliceLexer;
use hifijson::num::LexWrite;
use hifijson::str::LexAlloc;
use hifijson::token::{Expect, Lex};
use serde_json::Value;

use crate::compile::reads::{Below, Keys};
use crate::value::number::Num;
use crate::value::{Arr, Entries, NULL, Obj, Text, Val};

/// Why a text is no JSON, or none that is accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// The text is not one JSON value.
    #[error("the input is not JSON: {message} at byte {offset}")]
    Malformed {
        /// What is wrong.
        message: String,
        /// Where, counted from 0.
        offset: usize,
    },
    /// Arrays and objects are nested more deeply than the limit.
    #[error("the input is nested more than {0} levels deep")]
    TooDeep(u32),
    /// The text is longer than the limit.
    #[error("the input is longer than {0} bytes")]
    TooLong(usize),
}

/// Reads exactly one value. Recursion is bounded by `max_depth`.
pub(crate) fn from_json(json: &[u8], max_depth: u32) -> Result<Val, InputError> {
    let mut reader = Reader::new(json, max_depth);
    let read = reader.one_value();
    let offset = json.len() - reader.lexer.as_slice().len();
    read.map_err(|error| match error {
        hifijson::Error::Depth => InputError::TooDeep(max_depth),
        error => InputError::Malformed { message: error.to_string(), offset },
    })
}

/// Reads a text that is one object, without what `keys` do not name. `None` if the text is no object, or is refused:
/// [`from_json`] then says why.
pub(crate) fn part_from_json(json: &[u8], max_depth: u32, keys: &Keys) -> Option<Val> {
    let mut reader = Reader::new(json, max_depth);
    let value = match reader.lexer.ws_peek()? {
        b'{' => reader.nested(|reader| reader.object_part(keys)).ok()?,
        _ => return None,
    };
    reader.lexer.ws_peek().is_none().then_some(value)
}

struct Reader<'a> {
    lexer: SliceLexer<'a>,
    /// How many more levels may open.
    levels: u32,
    /// Items and entries of the arrays and objects that are open, the innermost last. They are moved into collections of
    /// just their size when these close: documents of many small ones would otherwise take several times the memory.
    items: Vec<Val>,
    entries: Vec<(Text, Val)>,
}

type Read<T> = Result<T, hifijson::Error>;

impl<'a> Reader<'a> {
    fn new(json: &'a [u8], max_depth: u32) -> Self {
        Self { lexer: SliceLexer::new(json), levels: max_depth, items: Vec::new(), entries: Vec::new() }
    }

    fn one_value(&mut self) -> Read<Val> {
        let next = self.lexer.ws_peek().ok_or(Expect::Value)?;
        let value = self.value(next)?;
        self.lexer.ws_peek().map_or(Ok(value), |_| Err(Expect::Eof.into()))
    }

    /// The value that begins with `next`.
    fn value(&mut self, next: u8) -> Read<Val> {
        match next {
            b'n' | b't' | b'f' => {
                let word = self.lexer.null_or_bool().ok_or(Expect::Value)?;
                Ok(word.map_or(NULL, Val::Bool))
            }
            b'-' | b'0'..=b'9' => {
                let (digits, _) = self.lexer.num_string().validated()?;
                Ok(Val::Num(Num::from_json(digits)))
            }
            b'"' => Ok(Val::Str(self.string()?)),
            b'[' => self.nested(Self::array),
            b'{' => self.nested(Self::object),
            _ => Err(Expect::Value.into()),
        }
    }

    fn nested<T>(&mut self, read: impl FnOnce(&mut Self) -> Read<T>) -> Read<T> {
        self.levels = self.levels.checked_sub(1).ok_or(hifijson::Error::Depth)?;
        self.lexer.discarded();
        let value = read(self);
        self.levels += 1;
        value
    }

    fn string(&mut self) -> Read<Text> {
        self.text().map(|text| Text::from(&*text))
    }

    fn text(&mut self) -> Read<Cow<'a, str>> {
        self.lexer.discarded().str_string().map_err(hifijson::Error::Str)
    }

    /// Goes through a sequence up to `end`; `item` reads one that begins with the byte it is given.
    fn sequence(&mut self, end: u8, mut item: impl FnMut(&mut Self, u8) -> Read<()>) -> Read<()> {
        let mut next = self.lexer.ws_peek().ok_or(Expect::ValueOrEnd)?;
        if next == end {
            self.lexer.discarded();
            return Ok(());
        }
        loop {
            item(self, next)?;
            next = self.lexer.ws_peek().ok_or(Expect::CommaOrEnd)?;
            if next != end && next != b',' {
                return Err(Expect::CommaOrEnd.into());
            }
            self.lexer.discarded();
            if next == end {
                return Ok(());
            }
            next = self.lexer.ws_peek().ok_or(Expect::Value)?;
        }
    }

    fn array(&mut self) -> Read<Val> {
        let first = self.items.len();
        self.sequence(b']', |reader, next| {
            let item = reader.value(next)?;
            reader.items.push(item);
            Ok(())
        })?;
        Ok(Val::Arr(Rc::new(Arr::new(self.items.drain(first..).collect()))))
    }

    fn object(&mut self) -> Read<Val> {
        let first = self.entries.len();
        self.members(|reader, key, next| {
            let key = Text::from(&*key);
            let value = reader.value(next)?;
            reader.entries.push((key, value));
            Ok(())
        })?;
        Ok(self.object_from(first))
    }

    /// An object with what `keys` name, the rest only checked.
    fn object_part(&mut self, keys: &Keys) -> Read<Val> {
        let first = self.entries.len();
        self.members(|reader, key, next| {
            let Some(below) = keys.below(&key) else { return reader.skip(next) };
            let key = Text::from(&*key);
            let value = match below {
                Below::Keys(inner) if next == b'{' => reader.nested(|reader| reader.object_part(inner))?,
                _ => reader.value(next)?,
            };
            reader.entries.push((key, value));
            Ok(())
        })?;
        Ok(self.object_from(first))
    }

    fn object_from(&mut self, first: usize) -> Val {
        let entries: Entries = self.entries.drain(first..).collect();
        Val::Obj(Rc::new(Obj::new(entries)))
    }

    /// Goes through the members of an object; `member` gets the key and the first byte of the value.
    fn members(&mut self, mut member: impl FnMut(&mut Self, Cow<'a, str>, u8) -> Read<()>) -> Read<()> {
        self.sequence(b'}', |reader, next| {
            if next != b'"' {
                return Err(Expect::String.into());
            }
            let key = reader.text()?;
            reader.lexer.expect(Lex::ws_peek, b':').ok_or(Expect::Colon)?;
            let next = reader.lexer.ws_peek().ok_or(Expect::Value)?;
            member(reader, key, next)
        })
    }

    /// Checks the value that begins with `next` as strictly as if it were read.
    fn skip(&mut self, next: u8) -> Read<()> {
        match next {
            b'"' => self.text().map(drop),
            b'[' => self.nested(|reader| reader.sequence(b']', Self::skip)),
            b'{' => self.nested(|reader| reader.members(|reader, _, next| reader.skip(next))),
            b'-' | b'0'..=b'9' => Ok(self.lexer.num_string().validated().map(drop)?),
            _ => self.value(next).map(drop),
        }
    }
}

/// Copies a value. Recursion is bounded by `max_depth`.
pub(crate) fn from_value(value: &Value, max_depth: u32) -> Result<Val, InputError> {
    copy(value, max_depth).ok_or(InputError::TooDeep(max_depth))
}

/// `None` if more than `levels` levels open.
fn copy(value: &Value, levels: u32) -> Option<Val> {
    Some(match value {
        Value::Null => NULL,
        Value::Bool(value) => Val::Bool(*value),
        Value::Number(number) => Val::Num(copy_number(number)),
        Value::String(text) => Val::Str(text.as_str().into()),
        Value::Array(items) => {
            let levels = levels.checked_sub(1)?;
            let items = items.iter().map(|item| copy(item, levels)).collect::<Option<_>>()?;
            Val::Arr(Rc::new(Arr::new(items)))
        }
        Value::Object(entries) => {
            let levels = levels.checked_sub(1)?;
            let entry = |(key, value): (&String, _)| Some((key.as_str().into(), copy(value, levels)?));
            let entries = entries.iter().map(entry).collect::<Option<_>>()?;
            Val::Obj(Rc::new(Obj::new(entries)))
        }
    })
}

fn copy_number(number: &serde_json::Number) -> Num {
    match (number.as_i128(), number.as_f64()) {
        (Some(integer), _) => Num::from_integer(integer),
        (None, Some(float)) => Num::Float(float),
        (None, None) => Num::from_json(&number.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::value::write;

    fn round_trip(json: &str) -> Result<String, InputError> {
        from_json(json.as_bytes(), 8).map(|value| write::to_json(&value).clone())
    }

    #[test]
    fn text_comes_back_as_it_was() {
        for json in [
            "null",
            "[]",
            "{}",
            "[true,false,null]",
            r#"{"b":[1,2.50,1e3,-0.0],"a":{"x":"y\n\u0001\"\\"}}"#,
            "123456789012345678901234567890123456789012345678901234567890",
            "\"é😀\"",
        ] {
            assert_eq!(round_trip(json).as_deref(), Ok(json));
        }
        assert_eq!(round_trip(" { \"a\" : 1 , \"a\" : 2 } ").as_deref(), Ok("{\"a\":2}"));
        assert_eq!(round_trip(r#""\ud83d\ude00""#).as_deref(), Ok("\"😀\""));
    }

    #[test]
    fn what_is_not_json_is_refused_with_its_place() {
        for json in [
            "",
            " ",
            "nul",
            "NaN",
            "[1,]",
            "{1:2}",
            "{\"a\"}",
            "[1 2]",
            "01",
            "1.",
            "+1",
            ".5",
            "\"\n\"",
            "\"a",
            "\"\\ud800\"",
            "1 2",
            "#\n1",
            "[1",
            "{\"a\":1,}",
            "'a'",
            "-",
            "tru\u{0}",
        ] {
            assert!(matches!(round_trip(json), Err(InputError::Malformed { .. })), "{json:?}");
        }
        let malformed = InputError::Malformed { message: "value expected".to_owned(), offset: 3 };
        assert_eq!(round_trip("[1,]"), Err(malformed));
        assert!(from_json(b"\"\xff\"", 8).is_err());
    }

    #[test]
    fn depth_is_bounded() {
        assert!(round_trip("[[[[[[[[1]]]]]]]]").is_ok());
        assert_eq!(round_trip("[[[[[[[[[1]]]]]]]]]"), Err(InputError::TooDeep(8)));
        let deep = "[".repeat(1_000_000);
        assert_eq!(round_trip(&deep), Err(InputError::TooDeep(8)));
        let value = (0..9).fold(Value::Null, |inner, _| Value::Array(vec![inner]));
        assert_eq!(from_value(&value, 8).err(), Some(InputError::TooDeep(8)));
    }

    proptest! {
        /// Text that serde_json reads is read the same; text that it refuses is refused.
        #[test]
        fn agrees_with_serde_json(json in r#"[\[\]{}:,"a0-9.eE\\un+ -]{0,24}|"[^\PC]*""#) {
            let ours = from_json(json.as_bytes(), 100);
            let theirs = serde_json::from_str::<Value>(&json);
            prop_assert_eq!(ours.is_ok(), theirs.is_ok(), "{:?} {:?}", ours, theirs);
            if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                prop_assert_eq!(ours, from_value(&theirs, 100).unwrap());
            }
        }
    }
}
