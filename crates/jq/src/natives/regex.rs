//! Regular expressions, in time that is charged for.
//!
//! Patterns are those of the `regex` crate: no look-around, no backreferences, and therefore no catastrophes. What is left
//! is a search over `n` bytes that costs `n` times the size of the pattern in the worst case, and a search for all matches
//! that does so for each of them. So the text is scanned by a lazily built automaton, byte by byte, in a loop of our own
//! that charges as it goes and finds where the match ends; only then are the groups found, by simulation, within the
//! match. Where the automaton gives up, simulation does all of it, and is charged for all of it in advance.
//!
//! Each thread keeps the patterns it used last.

use std::cell::RefCell;
use std::ops::Range;
use std::rc::Rc;

use jaq_core::native::v;
use jaq_core::{Cv, ValXs};
use regex_automata::hybrid::dfa::{self, DFA};
use regex_automata::nfa::thompson::pikevm::{self, PikeVM};
use regex_automata::nfa::thompson::{self, NFA};
use regex_automata::util::captures::Captures;
use regex_automata::util::syntax;
use regex_automata::{Input, PatternID};

use crate::kernel::Kernel;
use crate::meter;
use crate::natives::{Native, one};
use crate::value::{Entries, Error, NULL, Text, Val, ValR, fault};

/// The longest pattern, in bytes.
const MAX_PATTERN_BYTES: usize = 4 << 10;
/// The largest compiled pattern, and the memory of its automaton, in bytes.
const MAX_COMPILED_BYTES: usize = 256 << 10;
/// The memory for simulating a pattern, in bytes.
const MAX_SIMULATION_BYTES: usize = 1 << 20;
/// How many patterns a thread keeps.
const MAX_KEPT: usize = 8;
/// Bytes scanned between two charges.
const CHUNK: usize = 64;
/// How often the automaton may start over before simulation takes its place.
const MAX_RESTARTS: usize = 3;

/// The functions: `_matches($re; $flags)` gives an array of matches, `_parts` the same with the text between them,
/// `_test` tells whether there is one.
pub(super) fn natives() -> Vec<Native> {
    vec![
        ("_matches", v(2), |cv| with_pattern(cv, matches)),
        ("_parts", v(2), |cv| with_pattern(cv, parts)),
        ("_test", v(2), |cv| with_pattern(cv, |search| Ok(search.next_end(0).is_some().into()))),
    ]
}

fn with_pattern(
    mut cv: Cv<'_, Kernel>,
    run: fn(&mut Search<'_, '_>) -> Result<Val, Error>,
) -> ValXs<'_, Val> {
    let (flags, pattern) = (cv.0.pop_var(), cv.0.pop_var());
    one(search(&cv.1, &pattern, &flags, run))
}

fn search(
    text: &Val,
    pattern: &Val,
    flags: &Val,
    run: fn(&mut Search<'_, '_>) -> Result<Val, Error>,
) -> ValR {
    let text = text.text()?;
    let flags = Flags::parse(flags)?;
    let pattern = kept(pattern.text()?, flags)?;
    let mut caches = pattern.caches.try_borrow_mut().map_err(|_| fault("the pattern is in use"))?;
    run(&mut Search { text, flags, pattern: &pattern, caches: &mut caches })
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Flags {
    global: bool,
    no_empty: bool,
    case_insensitive: bool,
    extended: bool,
    dot_matches_line_end: bool,
}

impl Flags {
    fn parse(flags: &Val) -> Result<Self, Error> {
        let mut parsed = Self::default();
        let flags = if matches!(flags, Val::Null(_)) { "" } else { flags.text()? };
        for flag in flags.chars().take(64) {
            match flag {
                'g' => parsed.global = true,
                'n' => parsed.no_empty = true,
                'i' => parsed.case_insensitive = true,
                'x' => parsed.extended = true,
                // In jq, `s` concerns `^` and `$`, which never match inside a text here.
                's' => {}
                'p' => parsed.dot_matches_line_end = true,
                other => return Err(fault(format!("`{other}` is not a flag of regular expressions"))),
            }
        }
        Ok(parsed)
    }
}

/// A compiled pattern with what its searches remember.
struct Pattern {
    source: Box<str>,
    flags: Flags,
    vm: PikeVM,
    dfa: Option<DFA>,
    caches: RefCell<Caches>,
}

struct Caches {
    vm: pikevm::Cache,
    dfa: Option<dfa::Cache>,
    captures: Captures,
}

thread_local! {
    static KEPT: RefCell<Vec<Rc<Pattern>>> = const { RefCell::new(Vec::new()) };
}

/// The pattern from this thread's list, most recently used last, or compiled.
fn kept(source: &str, flags: Flags) -> Result<Rc<Pattern>, Error> {
    meter::charge_bytes(source.len());
    let same = |pattern: &Rc<Pattern>| *pattern.source == *source && pattern.flags == flags;
    let found = KEPT.with_borrow_mut(|kept| kept.iter().position(same).map(|at| kept.remove(at)));
    let pattern = match found {
        Some(pattern) => pattern,
        None => Rc::new(Pattern::compile(source, flags)?),
    };
    KEPT.with_borrow_mut(|kept| {
        if kept.len() == MAX_KEPT {
            kept.remove(0);
        }
        kept.push(Rc::clone(&pattern));
    });
    Ok(pattern)
}

impl Pattern {
    fn compile(source: &str, flags: Flags) -> Result<Self, Error> {
        if source.len() > MAX_PATTERN_BYTES {
            return Err(fault("the regular expression is too long"));
        }
        meter::charge_items(source.len() * 8);
        let syntax = syntax::Config::new()
            .case_insensitive(flags.case_insensitive)
            .ignore_whitespace(flags.extended)
            .dot_matches_new_line(flags.dot_matches_line_end)
            .nest_limit(64);
        let config = thompson::Config::new().nfa_size_limit(Some(MAX_COMPILED_BYTES));
        let nfa = NFA::compiler().syntax(syntax).configure(config).build(source);
        let nfa = nfa.map_err(|_| fault("the regular expression is not valid, or too large"))?;
        meter::charge_bytes(nfa.memory_usage());
        // Simulation keeps the places of all groups for each state.
        let slots = nfa.group_info().slot_len().saturating_mul(nfa.states().len());
        if slots.saturating_mul(size_of::<usize>()) > MAX_SIMULATION_BYTES {
            return Err(fault("the regular expression has too many groups"));
        }
        let vm =
            PikeVM::new_from_nfa(nfa.clone()).map_err(|_| fault("the regular expression is not valid"))?;
        let dfa_config = dfa::Config::new()
            .unicode_word_boundary(true)
            .cache_capacity(MAX_COMPILED_BYTES)
            .skip_cache_capacity_check(true)
            .minimum_cache_clear_count(Some(MAX_RESTARTS));
        let dfa = DFA::builder().configure(dfa_config).build_from_nfa(nfa).ok();
        let caches = Caches {
            vm: vm.create_cache(),
            dfa: dfa.as_ref().map(DFA::create_cache),
            captures: vm.create_captures(),
        };
        Ok(Self { source: source.into(), flags, vm, dfa, caches: RefCell::new(caches) })
    }

    /// Steps for simulating the pattern over `bytes`.
    fn simulation_cost(&self, bytes: usize) -> u64 {
        let nfa = self.vm.get_nfa();
        let work = nfa.states().len() * (nfa.group_info().slot_len() / 8 + 1);
        (bytes as u64 + 1).saturating_mul(work as u64) / 16
    }
}

/// One text being searched.
struct Search<'t, 'p> {
    text: &'t str,
    flags: Flags,
    pattern: &'p Pattern,
    caches: &'p mut Caches,
}

impl Search<'_, '_> {
    /// Where the next match from `from` on ends.
    fn next_end(&mut self, from: usize) -> Option<usize> {
        if let (Some(dfa), Some(cache)) = (&self.pattern.dfa, &mut self.caches.dfa)
            && let Ok(end) = scan(dfa, cache, self.text, from)
        {
            return end;
        }
        self.groups(from..self.text.len());
        self.caches.captures.get_match().map(|found| found.end())
    }

    /// Finds the groups of the next match in a part of the text, by simulation.
    fn groups(&mut self, span: Range<usize>) {
        meter::charge(self.pattern.simulation_cost(span.len()));
        let input = Input::new(self.text).span(span);
        self.pattern.vm.search(&mut self.caches.vm, &input, &mut self.caches.captures);
    }

    /// Calls `found` with each match, its groups in `captures`.
    fn each(&mut self, mut found: impl FnMut(&Captures) -> Result<(), Error>) -> Result<(), Error> {
        let mut from = 0;
        while from <= self.text.len()
            && let Some(end) = self.next_end(from)
        {
            self.groups(from..end);
            let Some(whole) = self.caches.captures.get_match() else { return Ok(()) };
            if !(whole.is_empty() && self.flags.no_empty) {
                found(&self.caches.captures)?;
            }
            if !self.flags.global {
                return Ok(());
            }
            from = if whole.is_empty() { after_char(self.text, whole.end()) } else { whole.end() };
        }
        Ok(())
    }
}

/// The place after the character at `at`, or beyond the end.
fn after_char(text: &str, at: usize) -> usize {
    at + text.get(at..).and_then(|rest| rest.chars().next()).map_or(1, char::len_utf8)
}

/// The automaton gave up.
struct GaveUp;

/// Where the first match from `from` on ends, by automaton.
fn scan(dfa: &DFA, cache: &mut dfa::Cache, text: &str, from: usize) -> Result<Option<usize>, GaveUp> {
    if cache.clear_count() >= MAX_RESTARTS {
        cache.reset(dfa);
    }
    let input = Input::new(text).span(from..text.len());
    let mut growth = Growth::of(dfa, cache);
    let mut state = dfa.start_state_forward(cache, &input).map_err(|_| GaveUp)?;
    let (bytes, mut end) = (text.as_bytes(), None);
    for (at, byte) in bytes.iter().enumerate().skip(from) {
        if (at - from).is_multiple_of(CHUNK) {
            growth.charge(cache, CHUNK);
        }
        state = dfa.next_state(cache, state, *byte).map_err(|_| GaveUp)?;
        if state.is_tagged() {
            // A match is seen one byte late.
            if state.is_match() {
                end = Some(at);
            } else if state.is_quit() {
                return Err(GaveUp);
            } else if state.is_dead() {
                growth.charge(cache, 0);
                return Ok(end);
            }
        }
    }
    state = dfa.next_eoi_state(cache, state).map_err(|_| GaveUp)?;
    growth.charge(cache, 0);
    Ok(if state.is_match() { Some(text.len()) } else { end })
}

/// How much the automaton has grown. A new state costs work in proportion to the pattern.
struct Growth {
    memory: usize,
    restarts: usize,
    per_slot: u64,
}

impl Growth {
    fn of(dfa: &DFA, cache: &dfa::Cache) -> Self {
        let per_slot = dfa.get_nfa().states().len() as u64 / 64 + 1;
        Self { memory: cache.memory_usage(), restarts: cache.clear_count(), per_slot }
    }

    fn charge(&mut self, cache: &dfa::Cache, scanned: usize) {
        let (memory, restarts) = (cache.memory_usage(), cache.clear_count());
        let cleared = (restarts - self.restarts) * MAX_COMPILED_BYTES;
        // Each new state has slots of four bytes, one for each class of bytes, to be filled later.
        let slots = (memory + cleared).saturating_sub(self.memory) / 4;
        (self.memory, self.restarts) = (memory, restarts);
        meter::charge((scanned / 8 + 1) as u64 + (slots as u64).saturating_mul(self.per_slot));
    }
}

/// Counts characters up to places that only go forward.
struct Characters<'t> {
    text: &'t str,
    byte: usize,
    count: usize,
}

impl Characters<'_> {
    fn before(&mut self, byte: usize) -> usize {
        meter::charge_bytes(byte.abs_diff(self.byte));
        // Groups of one match need not begin in order.
        if byte < self.byte {
            let back = self.text[byte..self.byte].chars().count();
            return self.count - back;
        }
        self.count += self.text[self.byte..byte].chars().count();
        self.byte = byte;
        self.count
    }
}

fn matches(search: &mut Search<'_, '_>) -> Result<Val, Error> {
    let (text, pattern) = (search.text, search.pattern);
    let mut characters = Characters { text, byte: 0, count: 0 };
    let mut found = Vec::new();
    search.each(|captures| {
        found.push(match_object(captures, pattern, text, &mut characters));
        Ok(())
    })?;
    Ok(Val::array(found))
}

fn parts(search: &mut Search<'_, '_>) -> Result<Val, Error> {
    let (text, pattern) = (search.text, search.pattern);
    let mut characters = Characters { text, byte: 0, count: 0 };
    let (mut parts, mut last) = (Vec::new(), 0);
    search.each(|captures| {
        if let Some(whole) = captures.get_match() {
            parts.push(Val::string(&text[last..whole.start()]));
            last = whole.end();
        }
        parts.push(match_object(captures, pattern, text, &mut characters));
        Ok(())
    })?;
    parts.push(Val::string(&text[last..]));
    Ok(Val::array(parts))
}

fn match_object(captures: &Captures, pattern: &Pattern, text: &str, characters: &mut Characters<'_>) -> Val {
    let names = pattern.vm.get_nfa().group_info().pattern_names(PatternID::ZERO).skip(1);
    let whole = captures.get_group(0).map(|span| span.range());
    let mut object = group(whole, text, characters);
    let groups = names.enumerate().map(|(at, name)| {
        let span = captures.get_group(at + 1).map(|span| span.range());
        let mut object = group(span, text, characters);
        object.insert("name".into(), name.map_or(NULL, Val::string));
        Val::object(object)
    });
    let groups = groups.collect();
    object.insert("captures".into(), Val::array(groups));
    Val::object(object)
}

/// A group that took no part in the match is at -1 and null.
fn group(span: Option<Range<usize>>, text: &str, characters: &mut Characters<'_>) -> Entries {
    let (offset, length, string) = match span {
        None => (Val::from(-1_isize), Val::from(0_usize), NULL),
        Some(span) => {
            let part = &text[span.clone()];
            meter::charge_bytes(part.len());
            (characters.before(span.start).into(), part.chars().count().into(), Val::string(part))
        }
    };
    let fields = [("offset", offset), ("length", length), ("string", string)];
    fields.into_iter().map(|(key, value)| (Text::from(key), value)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::meter::Budget;
    use crate::value::read::from_json;

    fn run(text: &str, pattern: &str, flags: &str, what: fn(&mut Search<'_, '_>) -> ValR) -> ValR {
        search(&Val::string(text), &Val::string(pattern), &Val::string(flags), what)
    }

    fn found(text: &str, pattern: &str, flags: &str) -> Vec<(String, String)> {
        let found = run(text, pattern, flags, matches).unwrap();
        let field = |value: &Val, key: &str| match value {
            Val::Obj(object) => crate::value::write::to_json(&object.entries[key]),
            _ => String::new(),
        };
        found.items().unwrap().iter().map(|value| (field(value, "offset"), field(value, "string"))).collect()
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(at, text)| ((*at).to_owned(), format!("\"{text}\""))).collect()
    }

    #[test]
    fn matches_have_places_in_characters() {
        assert_eq!(found("é1é22", r"\d+", "g"), pairs(&[("1", "1"), ("3", "22")]));
        assert_eq!(found("é1é22", r"\d+", ""), pairs(&[("1", "1")]));
        assert_eq!(found("abc", "", "g"), pairs(&[("0", ""), ("1", ""), ("2", ""), ("3", "")]));
        assert_eq!(found("aé", "x*", "gn"), pairs(&[]));
        assert_eq!(found("A\nb", "a.B", "ip"), pairs(&[("0", "A\\nb")]));
        assert_eq!(found("foo fo", r"\bfo+\b", "g"), pairs(&[("0", "foo"), ("4", "fo")]));
        assert_eq!(found("é foo", r"\bfo+\b", "g"), pairs(&[("2", "foo")]));
    }

    #[test]
    fn the_first_alternative_wins_and_lazy_is_lazy() {
        assert_eq!(found("samwise", "sam|samwise", ""), pairs(&[("0", "sam")]));
        assert_eq!(found("aXbXc", "a.*?X|b", "g"), pairs(&[("0", "aX"), ("2", "b")]));
        assert_eq!(found("aaz", "a.*z|a", "g"), pairs(&[("0", "aaz")]));
        assert_eq!(found("aab", "a.*z|a", "g"), pairs(&[("0", "a"), ("1", "a")]));
        assert_eq!(found("ab", "b$|^a", "g"), pairs(&[("0", "a"), ("1", "b")]));
    }

    #[test]
    fn groups_are_listed_with_their_names() {
        let found = run("xéb", "(?<first>é)(?<none>q)?(b)", "", matches).unwrap();
        let expected = r#"[{"offset":1,"length":2,"string":"éb","captures":[
            {"offset":1,"length":1,"string":"é","name":"first"},
            {"offset":-1,"length":0,"string":null,"name":"none"},
            {"offset":2,"length":1,"string":"b","name":null}]}]"#;
        assert_eq!(found, from_json(expected.as_bytes(), 10).unwrap());
    }

    #[test]
    fn parts_alternate() {
        let split = run("a1b22", r"\d", "g", parts).unwrap();
        let texts: Vec<_> = split.items().unwrap().iter().filter_map(Val::as_str).collect();
        assert_eq!(texts, ["a", "b", "", ""]);
        assert_eq!(split.items().unwrap().len(), 7);
    }

    #[test]
    fn what_cannot_be_a_pattern_is_an_error() {
        for pattern in ["(", "(?=a)", r"(a)\1", "a{1000000}", "(((a{100}){100}){100})", r"\p{Zzzz}"] {
            assert!(run("a", pattern, "", matches).is_err(), "{pattern}");
        }
        assert!(run("a", &"(".repeat(4_000), "", matches).is_err());
        assert!(run("a", &"(a)".repeat(400), "", matches).is_err());
        assert!(run("a", &"()".repeat(2_000), "", matches).is_err());
        assert!(run("a", &"a".repeat(MAX_PATTERN_BYTES + 1), "", matches).is_err());
        assert!(run("a", "a", "q", matches).is_err());
        assert!(search(&NULL, &Val::string("a"), &NULL, matches).is_err());
    }

    #[test]
    fn hard_searches_are_charged_for() {
        let hard = [
            ("a".repeat(100_000), "(a[^z]*z)|a", "g"),
            ("a".repeat(100_000), "(a*)*b", "g"),
            ("a".repeat(100_000), "(a|aa)+$|b", "g"),
            ("ab".repeat(50_000), "[ab]*a[ab]{200}c", "g"),
            ("ab".repeat(50_000), r"\w*a\w{12}\b.", "g"),
            ("é".repeat(50_000), r"\b.*x\b", "g"),
        ];
        for (text, pattern, flags) in hard {
            let budget = Budget { steps: 1_000_000, deadline: None, stack: 1 << 20, depth: 10 };
            let started = std::time::Instant::now();
            let running = meter::start(&budget);
            let _ = std::panic::catch_unwind(|| run(&text, pattern, flags, matches));
            drop(running);
            // Generous: unoptimised, on a busy machine.
            assert!(started.elapsed().as_secs() < 20, "{pattern}");
        }
    }
}
