//! The numbered rules of the profile: what this engine decides where the specification is silent or contradicts itself,
//! and what it refuses. `docs/workflow-profile.md` says each in full; a number keeps its meaning for ever.

use std::fmt;

macro_rules! rules {
    ($($number:literal $name:ident $text:literal,)*) => {
        /// A rule of the profile.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $(#[doc = $text] $name = $number,)*
        }

        impl Rule {
            /// Every rule, in the order of the numbers.
            pub const ALL: &'static [Rule] = &[$(Rule::$name,)*];

            /// What the rule says, in a line.
            pub fn summary(self) -> &'static str {
                match self { $(Rule::$name => $text,)* }
            }
        }
    };
}

rules! {
    1 ForkOutput "a fork yields the outputs of its branches in declared order",
    2 ForkCompete "the first branch of a competing fork to complete cancels the others",
    3 ForkContext "each branch has its own `$context`, merged in declared order at the join",
    4 InitialContext "`$context` begins as an empty object, or as the input where the definition says so",
    5 ExportInput "`export.as` runs on the transformed output",
    6 RetryFirst "a caught error is retried first; `catch.do` runs when no retry is left",
    7 RetryLimits "`limit.attempt.duration` is for each attempt, `limit.duration` for all together",
    8 Backoff "the n-th retry waits delay, delay times n, or delay times two to the n minus one",
    9 ForChain "the output of one iteration is the input of the next",
    10 SwitchNoMatch "a switch without a match goes on as any other task",
    11 JumpInScope "a jump leads to a task of the same list, and no jump leaves a branch of a fork",
    12 Listen "a subscription is live from the commit that made it; an empty `any` takes one event",
    13 Secrets "secrets are used by declared names, as `$secrets` or `$secret`",
    14 ExpressionFields "fields typed as expressions are always expressions; other text only as a whole `${ }`",
    15 MultiLine "an expression may have several lines",
    16 OneOutput "an expression without a result gives null, one with several is an error",
    17 DataIsData "expressions come from the definition only, never from data",
    18 UriTemplate "URI templates take top-level scalars of the input, percent-encoded",
    19 Cron "cron has five fields; time zone, catch-up and overlap stand in the metadata",
    20 Yaml "YAML 1.2, core schema, no duplicate keys, no tags",
    21 UnknownKeys "keys the specification does not know are refused, but in metadata",
    22 NoContainers "`run.container` is refused",
    23 Processes "shell, script and MCP over stdio need the operator's switch",
    24 Credentials "credentials are named or computed, never written out",
    25 References "every name of a reusable component is declared",
    26 TaskNames "names are unique in a list and no words of flow",
    27 Unreachable "a task that is never reached is warned of",
    28 EndlessLoop "a loop that neither ends nor waits is refused",
    29 Durations "durations are at least zero and have no months or years",
    30 Schedule "a schedule has one trigger",
    31 ErrorTypes "standard error types are the same under all their URIs",
    32 Version "DSL version 1.0, expressions in jq",
    33 SwitchDefault "a switch has one default, and it comes last",
    34 FunctionCycle "functions of a workflow do not call themselves",
    35 Extensions "extensions do not extend tasks of extensions",
    36 Size "a definition is limited in tasks and expressions",
    37 Schemas "inline schemas are valid JSON Schemas",
    38 Variables "an expression compiles with the variables of its place",
    39 ExtensionPoints "what the specification lacks stands under `metadata.trunkline`",
    40 HumanTasks "human tasks are calls of `approval` and `step`",
    41 SkippedTask "a skipped task passes its input on to the next task in order",
    42 Values "values can be used as written",
}

impl Rule {
    /// The number.
    pub fn number(self) -> u8 {
        self as u8
    }
}

/// Writes `rule 7`.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}", self.number())
    }
}
