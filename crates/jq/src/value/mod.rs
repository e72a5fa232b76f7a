//! The values an expression works on, in place of jaq's own.
//!
//! They differ from `jaq-json`'s in four ways, all of them for the sake of limits and of agreement with jq:
//!
//! - Arrays and objects know how deep they are. Nesting beyond the run's limit ends the run while the value is built, so
//!   comparing, writing and freeing values, all recursive, have bounded recursion.
//! - Operations charge the [`meter`](crate::meter) for what they read, copy or compare.
//! - `null` counts how often it was indexed. jaq keeps the path of `path(f)` as a list that it frees recursively; each
//!   step of a path goes down a value, which has a bounded depth, or from null to null, which is bounded here.
//! - Strings are UTF-8, keys are strings, numbers do not split into integers and decimals ([`number`]).
//!
//! Values are reference-counted without atomics and stay on the thread of the run; [`read`] and [`write`] convert.

use std::borrow::Borrow;
use std::fmt;
use std::rc::Rc;

use ecow::EcoString;
use indexmap::IndexMap;
use jaq_core::val::Range;

use crate::meter;
use crate::value::number::Num;

mod access;
mod arithmetic;
mod compare;
pub(crate) mod number;
pub(crate) mod read;
mod update;
pub(crate) mod write;

pub(crate) use access::{index, indices, key_values, slice, values};
pub(crate) use arithmetic::contains;
pub(crate) use compare::sorted;
pub(crate) use update::{array_mut, delete_paths, get_path, object_mut, set_path};

/// An error raised by an expression.
pub(crate) type Error = jaq_core::Error<Val>;
/// A value or an error.
pub(crate) type ValR = jaq_core::ValR<Val>;
/// A value, an error or jaq's control flow.
pub(crate) type ValX<'a> = jaq_core::ValX<'a, Val>;

/// A JSON value.
#[derive(Debug, Clone)]
pub(crate) enum Val {
    /// With the number of times in a row that null was indexed to get here.
    Null(u16),
    Bool(bool),
    Num(Num),
    Str(Text),
    Arr(Rc<Arr>),
    Obj(Rc<Obj>),
}

/// `null` as it stands in a document.
pub(crate) const NULL: Val = Val::Null(0);

impl Default for Val {
    fn default() -> Self {
        NULL
    }
}

/// A string or a key: short ones without an allocation, long ones shared, and grown in place while nobody else holds
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Text(EcoString);

/// An array.
#[derive(Debug, Clone, Default)]
pub(crate) struct Arr {
    pub(crate) items: Vec<Val>,
    /// At least one more than the depth of the deepest item.
    depth: u32,
}

/// Keys and values in order of insertion.
pub(crate) type Entries = IndexMap<Text, Val>;

/// An object.
#[derive(Debug, Clone, Default)]
pub(crate) struct Obj {
    pub(crate) entries: Entries,
    /// At least one more than the depth of the deepest value.
    depth: u32,
}

impl Text {
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Appends, in place if this is the only holder and there is room.
    fn push(&mut self, more: &str) {
        let before = self.0.as_ptr();
        self.0.push_str(more);
        let moved = self.0.as_ptr() != before;
        meter::charge_bytes(if moved { self.0.len() } else { more.len() });
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(text.into())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl Arr {
    /// Holds `items`, whose walk the caller has charged for.
    pub(crate) fn new(items: Vec<Val>) -> Self {
        let deepest = items.iter().map(Val::depth).max().unwrap_or(0);
        Self { depth: meter::deeper_than(deepest), items }
    }

    /// Raises the depth to what `item` needs.
    fn admit(&mut self, item: &Val) {
        self.depth = self.depth.max(meter::deeper_than(item.depth()));
    }
}

impl Obj {
    /// Holds `entries`, whose walk the caller has charged for.
    pub(crate) fn new(entries: Entries) -> Self {
        let deepest = entries.values().map(Val::depth).max().unwrap_or(0);
        Self { depth: meter::deeper_than(deepest), entries }
    }

    /// Sets `key`.
    pub(crate) fn insert(&mut self, key: Text, value: Val) {
        self.depth = self.depth.max(meter::deeper_than(value.depth()));
        self.entries.insert(key, value);
    }
}

/// Bytes of all keys: what hashing or comparing them costs.
fn key_bytes(entries: &Entries) -> usize {
    entries.keys().map(|key| key.as_str().len()).sum()
}

impl Val {
    /// An array of `items`, charged for.
    pub(crate) fn array(items: Vec<Val>) -> Self {
        meter::charge_items(items.len());
        Self::Arr(Rc::new(Arr::new(items)))
    }

    /// An object of `entries`, charged for.
    pub(crate) fn object(entries: Entries) -> Self {
        meter::charge_items(entries.len());
        Self::Obj(Rc::new(Obj::new(entries)))
    }

    /// A string, charged for.
    pub(crate) fn string(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        meter::charge_bytes(text.len());
        Self::Str(text.into())
    }

    /// Levels of arrays and objects; 0 for a scalar.
    fn depth(&self) -> u32 {
        match self {
            Self::Arr(array) => array.depth,
            Self::Obj(object) => object.depth,
            _ => 0,
        }
    }

    /// The null one step below a null that was indexed `n` times.
    fn null_below(n: u16) -> Self {
        Self::Null(u16::try_from(meter::deeper_than(u32::from(n))).unwrap_or(u16::MAX))
    }

    /// The name of the type, as `type` gives it.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null(_) => "null",
            Self::Bool(_) => "boolean",
            Self::Num(_) => "number",
            Self::Str(_) => "string",
            Self::Arr(_) => "array",
            Self::Obj(_) => "object",
        }
    }

    /// The text of a string.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::Str(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// The text of a string, or an error that says what was expected.
    pub(crate) fn text(&self) -> Result<&str, Error> {
        self.as_str().ok_or_else(|| fault(format!("{} is not a string", self.kind())))
    }

    /// The number as a float, or an error that says what was expected.
    pub(crate) fn float(&self) -> Result<f64, Error> {
        match self {
            Self::Num(number) => Ok(number.as_f64()),
            other => Err(fault(format!("{} is not a number", other.kind()))),
        }
    }

    /// The items of an array, or an error that says what was expected.
    pub(crate) fn items(&self) -> Result<&[Val], Error> {
        match self {
            Self::Arr(array) => Ok(&array.items),
            other => Err(fault(format!("{} is not an array", other.kind()))),
        }
    }
}

/// An error with a message of ours. Messages name types and keys, never values: they end up in logs.
pub(crate) fn fault(message: impl Into<String>) -> Error {
    Error::new(Val::Str(Text::from(message.into())))
}

/// Shows what a value is, not what it holds: jaq puts values into its messages this way.
impl fmt::Display for Val {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.kind())
    }
}

impl From<bool> for Val {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<isize> for Val {
    fn from(value: isize) -> Self {
        Self::Num(Num::Int(value as i64))
    }
}

impl From<usize> for Val {
    fn from(value: usize) -> Self {
        Self::Num(Num::from_integer(value as i128))
    }
}

impl From<f64> for Val {
    fn from(value: f64) -> Self {
        Self::Num(Num::from_float(value))
    }
}

impl From<String> for Val {
    fn from(value: String) -> Self {
        Self::string(value)
    }
}

/// A slice as part of a path.
impl From<Range<Val>> for Val {
    fn from(range: Range<Val>) -> Self {
        meter::count_path_slice();
        let bounds = [("start", range.start), ("end", range.end)];
        Self::object(bounds.into_iter().map(|(key, bound)| (key.into(), bound.unwrap_or(NULL))).collect())
    }
}

impl FromIterator<Val> for Val {
    fn from_iter<I: IntoIterator<Item = Val>>(items: I) -> Self {
        let items = items.into_iter().inspect(|_| meter::charge(1)).collect();
        Self::Arr(Rc::new(Arr::new(items)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_small() {
        assert_eq!(size_of::<Val>(), 24);
    }

    #[test]
    fn depth_counts_levels() {
        let flat = Val::array(vec![NULL, true.into()]);
        assert_eq!((flat.depth(), Val::array(vec![flat.clone(), NULL]).depth()), (1, 2));
        assert_eq!(Val::object([("a".into(), flat)].into_iter().collect()).depth(), 2);
    }
}
