//! What requests about deliveries and pickups may hold, and how it is read.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use trunkline_logistics::calendar::parse_date;
use trunkline_logistics::operations::{MAX_ID_LEN, MAX_NOTE_LEN};
use trunkline_logistics::package::{
    MAX_COUNT, MAX_EDGE_MM, MAX_HANDLING, MAX_WEIGHT_G, MAX_WORD_LEN, is_handling,
};
use trunkline_logistics::{Date, DayTime, Dimensions, Package, Position, Priority};

use crate::input::{Field, Input, Kind, Text};

/// An id that may be another system's.
pub(super) const ANY_ID: Kind = Kind::Text(Text {
    min: 1,
    max: MAX_ID_LEN,
    pattern: "^[A-Za-z0-9][A-Za-z0-9._~:@-]*$",
    accepts: is_id,
    rule: "must be letters, digits and . _ ~ : @ -, and begin with a letter or digit",
});
/// The same for things that other systems name as they like, such as cases.
pub(super) const FOREIGN_ID: Kind = Kind::Text(Text::line(1, MAX_ID_LEN / 4));
pub(super) const DATE: Kind = Kind::Text(Text {
    min: 10,
    max: 10,
    pattern: "^2[0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$",
    accepts: |text| parse_date(text).is_ok(),
    rule: "must be a date YYYY-MM-DD of the years 2000 to 2999",
});
pub(super) const DAY_TIME: Kind = Kind::Text(Text {
    min: 5,
    max: 5,
    pattern: "^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$",
    accepts: |text| DayTime::parse(text).is_ok(),
    rule: "must be a time of day HH:MM, from 00:00 to 24:00",
});
pub(super) const NOTE: Kind = Kind::Text(Text::lines(0, MAX_NOTE_LEN / 4));
pub(super) const PRIORITY: Kind = Kind::Choice(&Priority::NAMES);
const EDGE: Kind = Kind::Integer { min: 1, max: MAX_EDGE_MM as i64 };
static WORD: Kind = Kind::Text(Text {
    min: 1,
    max: MAX_WORD_LEN,
    pattern: "^[a-z0-9_-]+$",
    accepts: is_handling,
    rule: "must be letters a-z, digits, - and _",
});
pub(super) const PACKAGE: Kind = Kind::Object(&[
    Field::optional("count", Kind::Integer { min: 1, max: MAX_COUNT as i64 }, "How many pieces. Default 1."),
    Field::optional(
        "weight_g",
        Kind::Integer { min: 0, max: MAX_WEIGHT_G as i64 },
        "How heavy all of them are, in grams. Default 0.",
    ),
    Field::optional(
        "dimensions_mm",
        Kind::Object(&[
            Field::required("length", EDGE, "In millimetres."),
            Field::required("width", EDGE, "In millimetres."),
            Field::required("height", EDGE, "In millimetres."),
        ]),
        "The edges of one piece.",
    ),
    Field::optional(
        "handling",
        Kind::List { item: &WORD, min: 0, max: MAX_HANDLING },
        "How to handle them, for example `fragile`.",
    ),
]);
pub(super) const POSITION: Kind = Kind::Object(&[
    Field::required("lat", Kind::Number { min: -90.0, max: 90.0 }, "Latitude in degrees, WGS 84."),
    Field::required("lon", Kind::Number { min: -180.0, max: 180.0 }, "Longitude in degrees, WGS 84."),
]);

fn is_id(text: &str) -> bool {
    text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._~:@-".contains(&b))
}

/// The schema of such an id in a path.
pub(super) fn id_schema() -> Value {
    json!({
        "type": "string", "minLength": 1, "maxLength": MAX_ID_LEN, "pattern": "^[A-Za-z0-9][A-Za-z0-9._~:@-]*$",
    })
}

/// Reads a package that was checked.
pub(super) fn package(input: &Input) -> Package {
    let Some(value) = input.json("package") else { return Package::unknown() };
    let number = |value: &Value| value.as_f64().map_or(0, |n| n as u64);
    let edge = |name: &str| u32::try_from(number(&value["dimensions_mm"][name])).unwrap_or_default();
    let dimensions = value.get("dimensions_mm").map(|_| Dimensions {
        length: edge("length"),
        width: edge("width"),
        height: edge("height"),
    });
    let words = value["handling"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let handling: BTreeSet<String> = words.map(str::to_owned).collect();
    let count = value.get("count").map_or(1, |count| u32::try_from(number(count)).unwrap_or_default());
    Package::new(count, number(&value["weight_g"]), dimensions, handling)
}

/// Reads a position that was checked.
pub(super) fn position(input: &Input) -> Option<Position> {
    let value = input.json("position")?;
    Position::from_degrees(value["lat"].as_f64()?, value["lon"].as_f64()?).ok()
}

/// Reads a priority that was checked.
pub(super) fn priority(input: &Input) -> Priority {
    input.text("priority").and_then(|text| Priority::parse(&text)).unwrap_or_default()
}

/// Reads a date that was checked.
pub(super) fn date(input: &Input, name: &str) -> Option<Date> {
    input.text(name).and_then(|text| parse_date(&text).ok())
}
