//! Several events that start one workflow: `all`, and `any` with `until` (rule 30).
//!
//! The reader of the journal adds what a filter takes to the table; the owner of the definition's shard looks at what is
//! new and starts an instance for each set that is complete, in one commit with taking the events out.

use serde_json::{Map, Value};
use trunkline_model::{EventRecord, Shard, Timestamp};
use trunkline_store::tables::workflow::definition::DefinitionRow;
use trunkline_store::tables::workflow::gathered::{GatheredRow, GatheringKey};

use crate::dsl::events::{EventFilter, ReadAs, Strategy, Until};
use crate::engine::machine::{correlation_digest, hand_over, holds_alone, takes_alone};

/// A set of events that is complete.
#[derive(Debug, PartialEq)]
pub(super) struct Set {
    /// Which of the events it uses up, in order.
    pub(super) used: Vec<usize>,
    /// What the instance is started with.
    pub(super) input: Vec<Value>,
}

/// Whether a strategy needs more than one event.
pub(crate) fn gathers(strategy: &Strategy) -> bool {
    matches!(strategy, Strategy::All(_) | Strategy::Any(_, Some(_)))
}

/// The row for an event that some filter of a strategy takes.
pub(crate) fn row_of(
    definition: &DefinitionRow,
    shard: Shard,
    strategy: &Strategy,
    record: &EventRecord,
    event: &Value,
    now: Timestamp,
) -> Option<GatheredRow> {
    let correlation = correlation(strategy, event, now)?;
    Some(GatheredRow {
        of: GatheringKey {
            tenant: definition.tenant.clone(),
            namespace: definition.namespace.clone(),
            name: definition.name.clone(),
            correlation,
        },
        hash: definition.hash.clone(),
        recorded_at: record.recorded_at,
        key: format!("{}:{}", record.event.source, record.event.id),
        shard,
        event: event.to_string(),
        is_new: true,
    })
}

/// The digest of what ties an event to its like: the values that every filter of the strategy names.
fn correlation(strategy: &Strategy, event: &Value, now: Timestamp) -> Option<String> {
    let filters = strategy.filters();
    let takes_any = matches!(strategy, Strategy::Any(main, _) if main.is_empty());
    let taken = filters.iter().find_map(|filter| takes_alone(filter, event, &Map::new(), now));
    let Some(values) = taken else { return takes_any.then(String::new) };
    if takes_any {
        return Some(String::new());
    }
    let is_common =
        |name: &str| filters.iter().all(|filter| filter.correlate.iter().any(|it| it.name == name));
    let common: Vec<(&str, Value)> = values
        .iter()
        .filter(|(name, _)| is_common(name))
        .map(|(name, value)| (name.as_str(), value.clone()))
        .collect();
    Some(correlation_digest(&common))
}

/// Finds the first complete set among events in their order.
pub(super) fn complete(strategy: &Strategy, read: ReadAs, events: &[Value], now: Timestamp) -> Option<Set> {
    match strategy {
        Strategy::All(filters) => complete_all(filters, read, events, now),
        Strategy::Any(filters, Some(until)) => complete_any(filters, until, read, events, now),
        Strategy::Any(_, None) | Strategy::One(_) => None,
    }
}

/// One event for each filter, each tied to those before.
fn complete_all(filters: &[EventFilter], read: ReadAs, events: &[Value], now: Timestamp) -> Option<Set> {
    let mut matched = vec![false; filters.len()];
    let mut tied = Map::new();
    let mut used = Vec::new();
    for (index, event) in events.iter().enumerate() {
        let mut open = filters.iter().enumerate().filter(|(place, _)| !matched[*place]);
        let found = open.find_map(|(place, filter)| Some((place, takes_alone(filter, event, &tied, now)?)));
        let Some((place, values)) = found else { continue };
        matched[place] = true;
        tied.extend(values);
        used.push(index);
        if matched.iter().all(|it| *it) {
            let input = used.iter().map(|index| hand_over(&events[*index], read)).collect();
            return Some(Set { used, input });
        }
    }
    None
}

/// Every event that a filter takes, until a condition holds or further events have come.
fn complete_any(
    filters: &[EventFilter],
    until: &Until,
    read: ReadAs,
    events: &[Value],
    now: Timestamp,
) -> Option<Set> {
    let ends: Vec<&EventFilter> = match until {
        Until::Condition(_) => Vec::new(),
        Until::Consumed(strategy) => strategy.filters(),
    };
    let (mut ended, mut tied) = (vec![false; ends.len()], Map::new());
    let (mut used, mut input) = (Vec::new(), Vec::new());
    for (index, event) in events.iter().enumerate() {
        let mut is_used = false;
        let main = filters.iter().find_map(|filter| takes_alone(filter, event, &tied, now));
        let end = (0..ends.len())
            .filter(|place| !ended[*place])
            .find_map(|place| Some((place, takes_alone(ends[place], event, &tied, now)?)));
        // Without filters any event counts, but for those that end it.
        let takes_any = filters.is_empty() && end.is_none();
        if main.is_some() || takes_any {
            tied.extend(main.unwrap_or_default());
            input.push(hand_over(event, read));
            is_used = true;
        }
        if let Some((place, values)) = end {
            tied.extend(values);
            ended[place] = true;
            is_used = true;
        }
        if is_used {
            used.push(index);
        }
        let is_complete = match until {
            Until::Condition(condition) => {
                is_used && holds_alone(condition, &Value::from(input.clone()), now)
            }
            Until::Consumed(strategy) => match &**strategy {
                Strategy::All(_) => ended.iter().all(|it| *it),
                _ => ended.iter().any(|it| *it),
            },
        };
        if is_complete {
            return Some(Set { used, input });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::dsl::schedule::Schedule;
    use crate::program::{Format, compile};

    fn strategy(on: &str) -> Strategy {
        let text = format!(
            "document: {{dsl: '1.0.3', namespace: t, name: t, version: '1.0.0'}}\nschedule: {{on: {on}}}\ndo: [{{a: {{set: {{n: 1}}}}}}]"
        );
        let program = compile(&text, Format::Yaml).unwrap_or_else(|refusal| panic!("{refusal:?}")).program;
        match &program.workflow().schedule {
            Some(Schedule::On(strategy, _)) => strategy.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn event(kind: &str, case: u32) -> Value {
        json!({"type": kind, "source": "s", "id": "1", "data": {"case": case}})
    }

    const BOTH: &str = "{all: [{with: {type: a}, correlate: {case: {from: .data.case}}}, {with: {type: b}, correlate: {case: {from: .data.case}}}]}";

    #[test]
    fn all_takes_one_of_each_that_belong_together() {
        let (all, now) = (strategy(BOTH), Timestamp::default());
        let events = [event("a", 1), event("a", 1), event("b", 2), event("b", 1)];
        let set = complete(&all, ReadAs::Data, &events, now).unwrap();
        assert_eq!(set, Set { used: vec![0, 3], input: vec![json!({"case": 1}), json!({"case": 1})] });
        assert_eq!(complete(&all, ReadAs::Data, &events[..3], now), None);
        let digest = |event: &Value| correlation(&all, event, now);
        assert_eq!(digest(&events[0]), digest(&events[3]));
        assert_ne!(digest(&events[0]), digest(&events[2]));
        assert_eq!(digest(&event("c", 1)), None);
    }

    #[test]
    fn any_goes_on_until_it_is_told() {
        let now = Timestamp::default();
        let events = [event("a", 1), event("a", 2), event("end", 3), event("a", 4)];
        let counted = strategy("{any: [{with: {type: a}}], until: '(. | length) == 3'}");
        let set = complete(&counted, ReadAs::Data, &events, now).unwrap();
        assert_eq!(set.used, [0, 1, 3]);
        let ended = strategy("{any: [{with: {type: a}}], until: {one: {with: {type: end}}}}");
        let set = complete(&ended, ReadAs::Data, &events, now).unwrap();
        assert_eq!((set.used, set.input.len()), (vec![0, 1, 2], 2));
        assert_eq!(complete(&ended, ReadAs::Data, &events[..2], now), None);
    }
}
