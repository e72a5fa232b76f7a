//! Which rooms an event goes to, and who may send which event.
//!
//! Every event goes to its tenant's room, and to the rooms of the users, clinics and drivers that members of its data name. More
//! rooms come from rules: a pattern of event types and a template over the data. Rules also open rooms to roles, and types of events
//! to senders.
//!
//! Data comes from outside and is whatever it is: what does not fit names no room.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;
use trunkline_model::{Event, EventType, Pattern, Room};

use crate::principal::Principal;

/// Rooms that one event goes to at most; as many as a mask has bits.
pub(crate) const MAX_ROOMS: usize = 64;
/// Members of data that name rooms.
const NAMED: [(&str, &str); 6] = [
    ("userId", "user"),
    ("user_id", "user"),
    ("clinicId", "clinic"),
    ("clinic_id", "clinic"),
    ("driverId", "driver"),
    ("driver_id", "driver"),
];

/// A rule's text cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateFault(pub &'static str);

/// Sends events of a kind to a room, and opens such rooms to roles.
#[derive(Debug, Clone)]
pub struct RoomRule {
    events: Pattern,
    template: Template,
    roles: Vec<String>,
}

impl RoomRule {
    /// Reads a rule: a pattern of event types, a room such as `route:{route.id}`, and the roles that may join such rooms.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(events: &str, room: &str, roles: Vec<String>) -> Result<Self, TemplateFault> {
        let events =
            Pattern::parse(events).map_err(|_| TemplateFault("the pattern of event types is none"))?;
        Ok(Self { events, template: Template::parse(room)?, roles })
    }
}

/// Lets roles send events of a kind.
#[derive(Debug, Clone)]
pub struct PublishRule {
    events: Pattern,
    roles: Vec<String>,
}

impl PublishRule {
    /// Reads a rule: a pattern of event types and the roles that may send them.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn new(events: &str, roles: Vec<String>) -> Result<Self, TemplateFault> {
        let events =
            Pattern::parse(events).map_err(|_| TemplateFault("the pattern of event types is none"))?;
        Ok(Self { events, roles })
    }
}

/// All rules.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    rooms: Vec<RoomRule>,
    publish: Vec<PublishRule>,
}

/// The rooms that data names by itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Named {
    pub(crate) rooms: Vec<Room>,
    /// Whether a member that should hold an id holds something else, or there are more than [`MAX_ROOMS`].
    pub(crate) is_odd: bool,
}

impl Rules {
    /// Puts rules together.
    pub fn new(rooms: Vec<RoomRule>, publish: Vec<PublishRule>) -> Self {
        Self { rooms, publish }
    }

    /// The rooms of an event, its tenant's first, each once, at most [`MAX_ROOMS`].
    pub(crate) fn rooms_of(&self, event: &Event) -> Vec<Room> {
        let mut rooms = Vec::from_iter(Room::of("tenant", event.tenant.as_str()));
        let mut add = |room: Room| {
            if rooms.len() < MAX_ROOMS && !rooms.contains(&room) {
                rooms.push(room);
            }
        };
        let Some(json) = event.data.as_json() else { return rooms };
        named(json).rooms.into_iter().for_each(&mut add);
        let mut rules = self.rooms.iter().filter(|rule| rule.events.matches(&event.event_type)).peekable();
        if rules.peek().is_some()
            && let Ok(data) = serde_json::from_str::<Value>(json)
        {
            rules.flat_map(|rule| rule.template.render(&data)).for_each(&mut add);
        }
        rooms
    }

    /// Whether a rule opens the room to somebody.
    pub(crate) fn open(&self, room: &Room, principal: &Principal) -> bool {
        let mut rules = self.rooms.iter().filter(|rule| principal.is_one_of(&rule.roles));
        rules.any(|rule| rule.template.matches(room))
    }

    /// Whether somebody may send events of a type.
    pub(crate) fn may_publish(&self, event_type: &EventType, principal: &Principal) -> bool {
        principal.may_send_all()
            || self
                .publish
                .iter()
                .any(|rule| rule.events.matches(event_type) && principal.is_one_of(&rule.roles))
    }
}

/// Reads the rooms that the members of an object name. A name that comes twice counts twice.
pub(crate) fn named(json: &str) -> Named {
    struct Members(Named);

    impl<'de> Visitor<'de> for Members {
        type Value = Named;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Named, A::Error> {
            while let Some(Key(key)) = map.next_key()? {
                let Some((_, kind)) = NAMED.iter().find(|(name, _)| *name == key) else {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                };
                let values: Vec<Value> = match map.next_value()? {
                    Value::Array(values) => values,
                    Value::Null => vec![],
                    value => vec![value],
                };
                for value in values {
                    match id_of(&value).and_then(|id| Room::of(kind, &id)) {
                        Some(room) if self.0.rooms.len() < MAX_ROOMS => self.0.rooms.push(room),
                        _ => self.0.is_odd = true,
                    }
                }
            }
            Ok(self.0)
        }
    }

    let mut reader = serde_json::Deserializer::from_str(json);
    let found = reader.deserialize_map(Members(Named::default()));
    // Data that is no object names nothing; valid objects are never refused here.
    found.unwrap_or_default()
}

#[derive(Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

fn id_of(value: &Value) -> Option<Cow<'_, str>> {
    match value {
        Value::String(text) => Some(text.as_str().into()),
        Value::Number(n) if n.is_i64() || n.is_u64() => Some(n.to_string().into()),
        _ => None,
    }
}

/// A room with places for members of the data: `route:{route.id}`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Template(Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Path(Vec<String>),
}

impl Template {
    fn parse(text: &str) -> Result<Self, TemplateFault> {
        let (kind, mut rest) = text.split_once(':').ok_or(TemplateFault("a room is kind:id"))?;
        if kind.contains(['{', '}']) || rest.is_empty() {
            return Err(TemplateFault("a room is kind:id, with {…} in the id alone"));
        }
        if kind == "tenant" {
            return Err(TemplateFault("every event goes to its tenant's room, and to no other's"));
        }
        let mut parts = vec![Part::Text(format!("{kind}:"))];
        while !rest.is_empty() {
            let (literal, after) = rest.split_once('{').unwrap_or((rest, ""));
            if literal.contains('}') {
                return Err(TemplateFault("a } has no { before it"));
            }
            if !literal.is_empty() {
                parts.push(Part::Text(literal.to_owned()));
            }
            if literal.len() == rest.len() {
                break;
            }
            let (path, after) = after.split_once('}').ok_or(TemplateFault("a { has no } behind it"))?;
            let names: Vec<String> = path.split('.').map(str::to_owned).collect();
            if names.iter().any(|name| name.is_empty() || name.contains('{')) {
                return Err(TemplateFault("between { and } stand names of members, with dots between them"));
            }
            parts.push(Part::Path(names));
            rest = after;
        }
        // The texts alone, with any id in the places, must make a room.
        let sample: String =
            parts.iter().map(|part| if let Part::Text(text) = part { text } else { "x" }).collect();
        Room::parse(&sample).map_err(|_| TemplateFault("the kind is 1 to 32 of a-z, 0-9, - and _"))?;
        Ok(Self(parts))
    }

    /// The rooms that data gives: none where a member is missing, several where it is a list.
    fn render(&self, data: &Value) -> Vec<Room> {
        let mut names = vec![String::new()];
        for part in &self.0 {
            match part {
                Part::Text(text) => names.iter_mut().for_each(|name| name.push_str(text)),
                Part::Path(path) => {
                    let found = path.iter().try_fold(data, |value, name| value.get(name.as_str()));
                    let ids: Vec<Cow<'_, str>> = match found {
                        Some(Value::Array(values)) => {
                            values.iter().filter_map(id_of).take(MAX_ROOMS).collect()
                        }
                        Some(value) => id_of(value).into_iter().collect(),
                        None => vec![],
                    };
                    let longer =
                        names.iter().flat_map(|name| ids.iter().map(move |id| format!("{name}{id}")));
                    names = longer.take(MAX_ROOMS).collect();
                }
            }
        }
        names.iter().filter_map(|name| Room::parse(name).ok()).collect()
    }

    /// Whether the template can give the room.
    fn matches(&self, room: &Room) -> bool {
        let mut rest = room.as_str();
        let mut parts = self.0.iter().peekable();
        let mut is_open = false;
        while let Some(part) = parts.next() {
            let Part::Text(text) = part else {
                is_open = true;
                continue;
            };
            let found = match (is_open, parts.peek().is_none()) {
                (false, _) => rest.strip_prefix(text.as_str()),
                (true, true) => rest.strip_suffix(text.as_str()).filter(|id| !id.is_empty()).map(|_| ""),
                (true, false) => rest.split_once(text.as_str()).map(|(_, behind)| behind),
            };
            let Some(behind) = found else { return false };
            (rest, is_open) = (behind, false);
        }
        // An id ends it, or nothing is left.
        if is_open { !rest.is_empty() } else { rest.is_empty() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use trunkline_model::Data;
    use trunkline_testkit::event::event;

    use super::*;

    fn rooms(rules: &Rules, event_type: &str, data: &str) -> Vec<String> {
        let mut event = event(event_type, "s");
        event.data = Data::Json(data.as_bytes().to_vec().into());
        rules.rooms_of(&event).iter().map(|room| room.as_str().to_owned()).collect()
    }

    #[test]
    fn events_go_to_the_rooms_that_their_data_names() {
        let rules = Rules::new(
            vec![
                RoomRule::new("driver.*", "clinic:{route.clinics}", vec![]).unwrap(),
                RoomRule::new("driver.*", "role:dispatcher", vec![]).unwrap(),
                RoomRule::new("**", "route:{a}-{b}", vec![]).unwrap(),
            ],
            vec![],
        );
        let check = |event_type: &str, data: &str, expected: &[&str]| {
            let found = rooms(&rules, event_type, data);
            assert_eq!(found[0], "tenant:clinic-1");
            assert_eq!(found[1..], *expected, "{data}");
        };
        check("a", "{}", &[]);
        check("a", r#"{"userId":"ann","clinic_id":7}"#, &["user:ann", "clinic:7"]);
        check("a", r#"{"driverId":["1","2","1"],"driver_id":null}"#, &["driver:1", "driver:2"]);
        check("a", r#"{"userId":1.5,"user_id":{"a":1},"clinicId":"","deep":{"userId":"x"}}"#, &[]);
        check("a", r#"[{"userId":"x"}]"#, &[]);
        check("a", "7", &[]);
        check(
            "driver.location",
            r#"{"route":{"clinics":["a","b",{}]}}"#,
            &["clinic:a", "clinic:b", "role:dispatcher"],
        );
        check("a", r#"{"a":1,"b":["x","y"]}"#, &["route:1-x", "route:1-y"]);
        let many = format!("{{\"clinicId\":{:?}}}", (0..1000).collect::<Vec<_>>());
        assert_eq!(rooms(&rules, "a", &many).len(), MAX_ROOMS);
    }

    #[test]
    fn a_name_that_comes_twice_counts_twice() {
        let found = named(r#"{"driverId":"mine","driver\u0049d":"other","x":[[]]}"#);
        assert_eq!(found.rooms.len(), 2);
        assert!(!found.is_odd && named(r#"{"driverId":{"a":1}}"#).is_odd);
    }

    #[test]
    fn templates_match_what_they_give() {
        let check = |template: &str, room: &str, expected: bool| {
            let template = Template::parse(template).unwrap();
            assert_eq!(template.matches(&Room::parse(room).unwrap()), expected, "{template:?} {room}");
        };
        check("route:{id}", "route:7", true);
        check("route:{id}", "routes:7", false);
        check("route:{a}-{b}", "route:1-2", true);
        check("route:{a}-{b}", "route:12", false);
        check("route:{a}-end", "route:x-end", true);
        check("route:{a}-end", "route:-end", false);
        check("role:dispatcher", "role:dispatcher", true);
        check("role:dispatcher", "role:dispatchers", false);
        for bad in [
            "",
            "route",
            "route:",
            "{a}:b",
            "route:{",
            "route:}",
            "route:{a..b}",
            "route:{}",
            "tenant:x",
            "A:b",
        ] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn any_data_is_harmless(text in "\\PC{0,60}", keys in proptest::collection::vec("[a-zA-Z_]{1,8}", 0..4)) {
            let rules = Rules::new(vec![RoomRule::new("**", "x:{userId}/{a.b}", vec![]).unwrap()], vec![]);
            let _ = named(&text);
            let members: Vec<String> = keys.iter().map(|key| format!("{key:?}:{text:?}")).collect();
            let _ = rooms(&rules, "a", &format!("{{{}}}", members.join(",")));
        }

        #[test]
        fn what_a_template_gives_it_matches(a in "[^\\p{C}]{1,9}", b in "[^\\p{C}]{1,9}") {
            let template = Template::parse("x:{a}/{b}-z").unwrap();
            for room in template.render(&serde_json::json!({ "a": a, "b": b })) {
                prop_assert!(template.matches(&room), "{room}");
            }
        }
    }
}
