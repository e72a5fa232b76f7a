//! What checking data against a schema can cost, found before any data comes.
//!
//! References make schemas cheap to write and dear to check: n definitions that each refer twice to the next one make
//! 2ⁿ checks of the same value. The estimate counts, for data nested `d` levels deep, how many subschemas are applied
//! along the dearest path from the top to a leaf. A schema that is dear for shallow data is refused; otherwise the
//! estimate times the number of values bounds the work for the data at hand, and data over the budget is refused
//! before it is checked.
//!
//! Two kinds of edges lead from a schema to another one: *here*, to one applied to the same value (`$ref`, `allOf`,
//! `anyOf`, …), and *below*, to one applied to a child. A circle of edges of the first kind would never end and is a
//! fault; circles through the second kind are recursion, which ends where the data ends.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::keywords;
use super::reference::Reference;
use crate::fault::DocumentFault;

/// The most checks one validation may take, about a second's work.
const BUDGET: u64 = 5_000_000;
/// The most checks whose failures are listed: each failure takes some hundred bytes until the list is cut.
const EXPLAIN_BUDGET: u64 = 100_000;
/// The depth of data at which a schema must still be cheap.
const SHALLOW: usize = 8;
/// The most checks along one path at that depth.
const MAX_COST: u64 = 50_000;
/// The deepest data whose cost is told apart; JSON is not read deeper than 128.
const MAX_DEPTH: usize = 128;
/// The most pairs of a schema that a value begins with and another one applied to the value or its children.
const MAX_PAIRS: usize = 500_000;

/// The estimate: checks along the dearest path, by depth of the data. The last entry holds for deeper data too.
#[derive(Debug, Clone)]
pub(crate) struct Cost {
    by_depth: Vec<u64>,
}

impl Cost {
    /// Tells how far checking data may go.
    pub(crate) fn allows(&self, data: &Value) -> Allowed {
        let (n_values, depth) = measure(data);
        let work = self.at(depth).saturating_mul(n_values);
        if work <= EXPLAIN_BUDGET {
            Allowed::Explanation
        } else if work <= BUDGET {
            Allowed::Verdict
        } else {
            Allowed::Nothing
        }
    }

    fn at(&self, depth: usize) -> u64 {
        self.by_depth.get(depth).or(self.by_depth.last()).copied().unwrap_or(1)
    }
}

/// How far checking may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Allowed {
    /// Every failure may be listed.
    Explanation,
    /// Whether the data fits, without reasons.
    Verdict,
    /// Not even that.
    Nothing,
}

/// Counts the values in data, keys apart, and the levels below the top.
pub(crate) fn measure(data: &Value) -> (u64, usize) {
    let children: &mut dyn Iterator<Item = &Value> = match data {
        Value::Array(items) => &mut items.iter(),
        Value::Object(map) => &mut map.values(),
        _ => return (1, 0),
    };
    children.map(measure).fold((1, 0), |(n, depth), (below, levels)| (n + below, depth.max(levels + 1)))
}

/// Estimates a self-contained schema whose references all lead to schemas. A fault when it is too dear or never ends.
pub(crate) fn estimate(schema: &Value) -> Result<Cost, DocumentFault> {
    let graph = Graph::of(schema);
    let order = graph.order().map_err(|at| {
        DocumentFault::new(
            at,
            "the schema applies itself to the same value again, without end",
            "let it refer to itself only for a property or an item",
        )
    })?;
    let too_dear = |problem: &str| {
        DocumentFault::new(
            "",
            problem,
            "let fewer schemas refer to each other, and nest anyOf and oneOf less",
        )
    };
    let applied =
        graph.applied(&order).ok_or_else(|| too_dear("too many subschemas apply to the same value"))?;
    let cost = by_depth(&applied);
    if cost.at(SHALLOW) > MAX_COST {
        return Err(too_dear("checking data against the schema would take too long"));
    }
    Ok(cost)
}

/// Which children of a value an edge leads to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Below {
    Property(String),
    AnyProperty,
    AnyItem,
}

#[derive(Debug, Default)]
struct Schema {
    pointer: String,
    /// Schemas applied to the same value, each with how often.
    here: Vec<(usize, u64)>,
    below: Vec<(Below, usize, u64)>,
}

struct Graph {
    schemas: Vec<Schema>,
}

impl Graph {
    fn of(root: &Value) -> Self {
        let mut schemas = Vec::new();
        let mut ids = HashMap::new();
        keywords::walk(root, "", &mut |pointer, _| {
            ids.insert(pointer.to_owned(), schemas.len());
            schemas.push(Schema { pointer: pointer.to_owned(), ..Schema::default() });
        });
        let id_of = |pointer: &str| ids.get(pointer).copied();
        keywords::walk(root, "", &mut |at, schema| {
            let (Some(id), Value::Object(map)) = (id_of(at), schema) else { return };
            // What is left unevaluated is found out by checking what stands beside it once more.
            let again = 1
                + u64::from(map.contains_key("unevaluatedProperties"))
                + u64::from(map.contains_key("unevaluatedItems"));
            if let Some(Value::String(reference)) = map.get("$ref")
                && let Ok(reference) = Reference::parse(reference)
                && let Some(target) = id_of(&reference.pointer)
            {
                schemas[id].here.push((target, again));
            }
            for child in keywords::children(map) {
                let Some(target) = id_of(&child.pointer(at)) else { continue };
                match edge(child.keyword, child.token.as_deref()) {
                    Edge::None => {}
                    Edge::Here(times) => schemas[id].here.push((target, times * again)),
                    Edge::Below(below, times) => schemas[id].below.push((below, target, times)),
                }
            }
        });
        Self { schemas }
    }

    /// Orders the schemas so that one comes before those it applies here; `Err` with a pointer into a circle.
    fn order(&self) -> Result<Vec<usize>, String> {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            Open,
            Done,
        }
        let mut state = vec![State::New; self.schemas.len()];
        let mut finished = Vec::with_capacity(self.schemas.len());
        for start in 0..self.schemas.len() {
            let mut stack = vec![(start, 0)];
            while let Some((id, next)) = stack.pop() {
                if next == 0 && state[id] == State::Done {
                    continue;
                }
                state[id] = State::Open;
                let Some((target, _)) = self.schemas[id].here.get(next) else {
                    state[id] = State::Done;
                    finished.push(id);
                    continue;
                };
                stack.push((id, next + 1));
                match state[*target] {
                    State::Open => return Err(self.schemas[*target].pointer.clone()),
                    State::New => stack.push((*target, 0)),
                    State::Done => {}
                }
            }
        }
        finished.reverse();
        Ok(finished)
    }

    /// Gathers, for every schema that a value can begin with, all that applies to that value.
    fn applied(&self, order: &[usize]) -> Option<Vec<Applied>> {
        let mut rank = vec![0; self.schemas.len()];
        for (index, id) in order.iter().enumerate() {
            rank[*id] = index;
        }
        let mut numbers: HashMap<usize, usize> = HashMap::from([(0, 0)]);
        let mut starts = vec![0];
        let mut all = Vec::new();
        let mut n_pairs = 0;
        while let Some(start) = starts.get(all.len()).copied() {
            // By rank, so that a schema's count is complete when its turn comes.
            let mut waiting = BTreeMap::from([(rank[start], 1_u64)]);
            let mut applied = Applied::default();
            while let Some((index, times)) = waiting.pop_first() {
                n_pairs += 1;
                if n_pairs > MAX_PAIRS {
                    return None;
                }
                let schema = &self.schemas[order[index]];
                applied.here = applied.here.saturating_add(times);
                for (target, each) in &schema.here {
                    let count = waiting.entry(rank[*target]).or_default();
                    *count = count.saturating_add(times.saturating_mul(*each));
                }
                n_pairs += schema.below.len();
                for (below, target, each) in &schema.below {
                    let number = *numbers.entry(*target).or_insert_with(|| {
                        starts.push(*target);
                        starts.len() - 1
                    });
                    let edges = applied.below.entry(below.clone()).or_default();
                    edges.push((number, times.saturating_mul(*each)));
                }
            }
            all.push(applied);
        }
        Some(all)
    }
}

/// All that applies to one value: how many checks, and what it applies to the value's children.
#[derive(Debug, Default)]
struct Applied {
    here: u64,
    below: BTreeMap<Below, Vec<(usize, u64)>>,
}

fn by_depth(all: &[Applied]) -> Cost {
    let mut row: Vec<u64> = all.iter().map(|applied| applied.here).collect();
    let mut by_depth = vec![row[0]];
    while by_depth.len() <= MAX_DEPTH {
        let next: Vec<u64> =
            all.iter().map(|applied| applied.here.saturating_add(children(applied, &row))).collect();
        if next == row {
            break;
        }
        by_depth.push(next[0]);
        row = next;
    }
    Cost { by_depth }
}

/// The dearest child, given what each schema costs one level further down.
fn children(applied: &Applied, row: &[u64]) -> u64 {
    let (mut dearest, mut any_property, mut items) = (0_u64, 0_u64, 0_u64);
    for (below, edges) in &applied.below {
        let sum = edges
            .iter()
            .fold(0_u64, |sum, (number, times)| sum.saturating_add(row[*number].saturating_mul(*times)));
        match below {
            Below::Property(_) => dearest = dearest.max(sum),
            Below::AnyProperty => any_property = sum,
            Below::AnyItem => items = sum,
        }
    }
    dearest.saturating_add(any_property).max(items)
}

enum Edge {
    None,
    Here(u64),
    Below(Below, u64),
}

/// What a keyword does with its subschema. Alternatives count twice: once to find out whether one fits, once to say
/// why none does.
fn edge(keyword: &str, token: Option<&str>) -> Edge {
    match keyword {
        "allOf" | "dependentSchemas" | "then" | "else" => Edge::Here(1),
        "anyOf" | "oneOf" | "not" | "if" => Edge::Here(2),
        "properties" => Edge::Below(Below::Property(token.unwrap_or_default().to_owned()), 1),
        "patternProperties" | "additionalProperties" | "unevaluatedProperties" | "propertyNames" => {
            Edge::Below(Below::AnyProperty, 1)
        }
        "prefixItems" | "items" | "unevaluatedItems" => Edge::Below(Below::AnyItem, 1),
        "contains" => Edge::Below(Below::AnyItem, 2),
        _ => Edge::None,
    }
}

/// Lists the pointers of all schemas in a document, which is where references may lead.
pub(crate) fn schema_pointers(root: &Value) -> std::collections::HashSet<String> {
    let mut pointers = std::collections::HashSet::new();
    keywords::walk(root, "", &mut |pointer, _| {
        pointers.insert(pointer.to_owned());
    });
    pointers
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::*;

    /// Nests a value in objects `{"a": …}`.
    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!(1), |inner, _| json!({ "a": inner }))
    }

    fn chain(n: usize, link: impl Fn(usize) -> Value) -> Value {
        let defs: Map<String, Value> = (0..n).map(|i| (format!("d{i}"), link(i))).collect();
        json!({"$ref": "#/$defs/d0", "$defs": defs})
    }

    #[test]
    fn plain_schemas_cost_little() {
        let cost = estimate(&json!({
            "type": "object",
            "properties": {"a": {"type": "string"}, "b": {"items": {"type": "integer"}}}
        }))
        .unwrap();
        assert_eq!(cost.by_depth, [1, 2, 3]);
        assert_eq!(cost.allows(&json!({"b": vec![1; 10_000]})), Allowed::Explanation);
        assert_eq!(cost.allows(&json!({"b": vec![1; 100_000]})), Allowed::Verdict);
    }

    #[test]
    fn doubling_references_are_refused() {
        let doubling = chain(30, |i| {
            let next = json!({"$ref": format!("#/$defs/d{}", i + 1)});
            if i < 29 { json!({"allOf": [next, next]}) } else { json!(true) }
        });
        assert!(estimate(&doubling).unwrap_err().problem.contains("too long"));
        let below = chain(30, |i| {
            let next = json!({"properties": {"a": {"$ref": format!("#/$defs/d{}", i + 1)}}});
            if i < 29 { json!({"allOf": [next, next, next, next]}) } else { json!(true) }
        });
        assert!(estimate(&below).unwrap_err().problem.contains("too long"));
    }

    #[test]
    fn endless_schemas_are_refused() {
        let check = |schema: Value, expect: &str| {
            let fault = estimate(&schema).unwrap_err();
            assert!(fault.problem.contains("without end"), "{schema}");
            assert_eq!(fault.pointer, expect, "{schema}");
        };
        check(json!({"$ref": "#"}), "");
        check(json!({"anyOf": [{"$ref": "#"}]}), "");
        check(chain(2, |i| json!({"$ref": format!("#/$defs/d{}", 1 - i)})), "/$defs/d0");
    }

    #[test]
    fn recursion_is_bounded_by_the_data() {
        let tree = json!({"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}});
        let cost = estimate(&tree).unwrap();
        assert_eq!(cost.allows(&nested(100)), Allowed::Explanation);
        let alternatives = json!({"anyOf": [{"type": "integer"}, {"properties": {"a": {"$ref": "#"}}}]});
        let cost = estimate(&alternatives).unwrap();
        assert_eq!(cost.allows(&nested(8)), Allowed::Explanation);
        assert_eq!(cost.allows(&nested(100)), Allowed::Nothing);
    }

    #[test]
    fn data_is_measured() {
        assert_eq!(measure(&json!(1)), (1, 0));
        assert_eq!(measure(&json!({"a": [1, {"b": 2}], "c": {}})), (6, 3));
    }
}
