//! Runs a pack's tests: what `trunkline pack test` prints.

use std::fmt;
use std::path::PathBuf;

use crate::catalogue::{Catalogue, Validation};
use crate::pack::Pack;
use crate::schema::DataFault;
use crate::test_files::{ExpectedFault, ExpectedSchema, PackTest};

/// How one test went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestOutcome {
    /// The file of the test; of the sample for the tests that samples get without being asked.
    pub file: PathBuf,
    /// The line where the test begins.
    pub line: u32,
    /// The test's name.
    pub name: String,
    /// What did not come as expected; empty when the test passed.
    pub failures: Vec<TestFailure>,
}

impl TestOutcome {
    /// Tells whether everything came as expected.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

/// One expectation that was not met.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TestFailure {
    /// The file.
    pub file: PathBuf,
    /// The line of the expectation.
    pub line: u32,
    /// What was expected.
    pub expected: String,
    /// What came instead.
    pub found: String,
}

impl fmt::Display for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: expected {}, found {}", self.file.display(), self.line, self.expected, self.found)
    }
}

/// Runs all tests of a pack, and for every sample that no test uses, that it fits the schema of its type.
pub fn run_tests(pack: &Pack) -> Vec<TestOutcome> {
    let catalogue = Catalogue::of(pack.types().cloned()).expect("invariant: a pack's types are unique");
    let mut outcomes: Vec<TestOutcome> = pack.tests().iter().map(|test| run(test, &catalogue)).collect();
    let is_used = |name: &str| pack.tests().iter().any(|test| test.sample.as_deref() == Some(name));
    for sample in pack.samples().iter().filter(|sample| !is_used(&sample.name)) {
        let event = &sample.event;
        let validation = catalogue.validate(&event.event_type, event.version, &event.data);
        let failure = schema_failure(&ExpectedSchema::Valid, &validation);
        outcomes.push(TestOutcome {
            file: sample.file.clone(),
            line: 1,
            name: format!("sample {} fits its type", sample.name),
            failures: failure
                .map(|(expected, found)| TestFailure { file: sample.file.clone(), line: 1, expected, found })
                .into_iter()
                .collect(),
        });
    }
    outcomes
}

fn run(test: &PackTest, catalogue: &Catalogue) -> TestOutcome {
    let mut failures = Vec::new();
    if let Some((line, expected)) = &test.expect.schema {
        let event = &test.given;
        let validation = catalogue.validate(&event.event_type, event.version, &event.data);
        if let Some((expected, found)) = schema_failure(expected, &validation) {
            failures.push(TestFailure { file: test.file.clone(), line: *line, expected, found });
        }
    }
    TestOutcome { file: test.file.clone(), line: test.line, name: test.name.clone(), failures }
}

/// Holds a verdict against what was expected; `None` when it was expected, else both in words.
fn schema_failure(expected: &ExpectedSchema, found: &Validation) -> Option<(String, String)> {
    match (expected, found) {
        (ExpectedSchema::Valid, Validation::Valid { .. })
        | (ExpectedSchema::Invalid { faults: None }, Validation::Invalid { .. }) => None,
        (ExpectedSchema::Invalid { faults: Some(expected) }, Validation::Invalid { faults, .. })
            if are_the_same(expected, faults) =>
        {
            None
        }
        _ => Some((expected_words(expected), found_words(found))),
    }
}

/// Pairs expected and found faults. Those that name a keyword choose first, so that the others take what is left.
fn are_the_same(expected: &[ExpectedFault], found: &[DataFault]) -> bool {
    let mut left: Vec<&DataFault> = found.iter().collect();
    let (exact, any): (Vec<_>, Vec<_>) = expected.iter().partition(|fault| fault.keyword.is_some());
    let all_found = exact.into_iter().chain(any).all(|fault| {
        let fits = |candidate: &&DataFault| {
            candidate.pointer == fault.at && fault.keyword.as_ref().is_none_or(|it| *it == candidate.keyword)
        };
        left.iter().position(fits).map(|index| left.remove(index)).is_some()
    });
    all_found && left.is_empty()
}

fn expected_words(expected: &ExpectedSchema) -> String {
    match expected {
        ExpectedSchema::Valid => "schema: valid".to_owned(),
        ExpectedSchema::Invalid { faults: None } => "schema: invalid".to_owned(),
        ExpectedSchema::Invalid { faults: Some(faults) } => {
            let each = faults.iter().map(|fault| match &fault.keyword {
                Some(keyword) => format!("{} ({keyword})", at(&fault.at)),
                None => at(&fault.at).to_owned(),
            });
            format!("schema: invalid at {}", each.collect::<Vec<_>>().join(", "))
        }
    }
}

fn found_words(found: &Validation) -> String {
    match found {
        Validation::Unknown => "that the pack has no such version of the type".to_owned(),
        Validation::Valid { .. } => "that the data fits".to_owned(),
        Validation::Invalid { faults, .. } => {
            let each = faults
                .iter()
                .map(|fault| format!("{} {} ({})", at(&fault.pointer), fault.problem, fault.keyword));
            each.collect::<Vec<_>>().join("; ")
        }
    }
}

fn at(pointer: &str) -> &str {
    if pointer.is_empty() { "the data" } else { pointer }
}
