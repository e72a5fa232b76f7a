//! From text to a program, or to an error with its place.
//!
//! jaq parses; [`survey`] walks the syntax tree for what jaq would accept and we cannot run safely, and for the names it
//! uses; [`rewrite`] turns assignments into calls; only the definitions of the prelude that are needed are compiled into
//! the program, which keeps thousands of filters small. The rewritten expression is handed to jaq as a definition like
//! the others, and the program proper only calls it: jaq's loader takes syntax trees no other way. jaq's lexer and
//! parser recurse with the nesting of the text, and the tree is freed recursively, so all of it happens on a thread whose
//! stack is made for the longest text.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::LazyLock;
use std::thread;

use jaq_core::Compiler;
use jaq_core::load::parse::{Def, Term};
use jaq_core::load::{self, Arena, File, Lexer, Loader, Parser};

use crate::kernel::Kernel;
use crate::natives;

mod error;
pub(crate) mod reads;
mod rewrite;
mod survey;

pub use error::CompileError;

/// The longest expression, in bytes.
pub const MAX_TEXT_BYTES: usize = 16 << 10;
/// Enough for [`MAX_TEXT_BYTES`] of nesting; only what is used is ever taken from the machine.
const STACK: usize = if cfg!(debug_assertions) { 512 << 20 } else { 128 << 20 };
/// The variable that holds the time. No text can name it.
const NOW: &str = "$ now";
/// The name of the expression as a definition.
const MAIN: &str = "__filter";

/// What an expression may use besides its input.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options<'a> {
    /// Names of variables, each with its `$`. Their values are given with the input, in this order; those that the
    /// expression does not use cost nothing.
    pub variables: &'a [&'a str],
    /// Whether `now` exists. Its value is given with the input, if the expression uses it: the machine's clock is never
    /// read, so an evaluation can be repeated as of the time it was first made.
    pub now: bool,
}

/// A compiled expression.
pub(crate) struct Program {
    pub(crate) text: Box<str>,
    pub(crate) filter: jaq_core::Filter<Kernel>,
    /// For each variable, whether the expression uses it.
    pub(crate) variables: Box<[bool]>,
    pub(crate) uses_now: bool,
    /// What is read of the input when only the truth is wanted; `None` is everything.
    pub(crate) reads_for_truth: Option<reads::Keys>,
}

/// Definitions every expression can use, with the names each of them uses.
struct Prelude(Vec<(Def<&'static str>, HashSet<&'static str>)>);

static PRELUDE: LazyLock<Prelude> = LazyLock::new(|| Prelude::parse(include_str!("../prelude.jq")));

impl Prelude {
    fn parse(text: &'static str) -> Self {
        let defs = load::parse(text, |parser| parser.defs()).expect("invariant: the prelude parses");
        let rewritten = defs.into_iter().map(rewrite::definition);
        Self(rewritten.map(|def| (def.clone(), survey::names(&def.body))).collect())
    }

    /// The definitions that `used` names, and those that they name in turn. A definition sees only earlier ones, so one
    /// walk from the end finds them all.
    fn needed<'s>(&self, mut used: HashSet<&'s str>) -> Vec<Def<&'s str>> {
        let mut needed: Vec<Def<&str>> = Vec::new();
        for (def, names) in self.0.iter().rev() {
            if used.contains(def.name) {
                used.extend(names);
                needed.push(def.clone());
            }
        }
        needed.reverse();
        needed
    }
}

/// Compiles `text`.
pub(crate) fn compile(text: &str, options: &Options<'_>) -> Result<Program, CompileError> {
    if text.len() > MAX_TEXT_BYTES {
        return Err(CompileError::at_start(format!("the filter is longer than {MAX_TEXT_BYTES} bytes")));
    }
    check_variables(options.variables)?;
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .name("jq compile".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, || build(text, options));
        let unavailable = || Err(CompileError::at_start("the filter could not be compiled"));
        thread.map_or_else(|_| unavailable(), |thread| thread.join().unwrap_or_else(|_| unavailable()))
    })
}

fn check_variables(names: &[&str]) -> Result<(), CompileError> {
    for name in names {
        let letters = name.strip_prefix('$').unwrap_or_default();
        let named = letters.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
            && letters.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if !named {
            return Err(CompileError::at_start(format!("`{name}` cannot be the name of a variable")));
        }
    }
    Ok(())
}

fn build(text: &str, options: &Options<'_>) -> Result<Program, CompileError> {
    let tree = parse(text)?;
    let names = survey::check(&tree, text)?;
    if let Some(reserved) = names.get(MAIN) {
        return Err(CompileError::at(text, reserved, format!("`{MAIN}` is reserved")));
    }
    let reads_for_truth = reads::of(&tree);
    let tree = rewrite::term(tree);
    let mut prelude = PRELUDE.needed(survey::names(&tree));
    let mut variables: Vec<Cow<'_, str>> = options.variables.iter().map(|name| (*name).into()).collect();
    let uses_now = options.now && names.contains("now");
    if uses_now {
        variables.push(NOW.into());
        prelude.push(Def { name: "now", args: Vec::new(), body: Term::Var(NOW) });
    }
    prelude.push(Def { name: MAIN, args: Vec::new(), body: tree });
    let arena = Arena::default();
    let modules = Loader::new(prelude)
        .load(&arena, File { code: MAIN, path: () })
        .map_err(|_| CompileError::at_start("the filter could not be compiled"))?;
    let filter = Compiler::default()
        .with_funs(natives::all())
        .with_global_vars(variables.iter().map(AsRef::as_ref))
        .compile(modules)
        .map_err(|errors| error::from_names(text, &errors))?;
    let variables = options.variables.iter().map(|name| names.contains(name)).collect();
    Ok(Program { text: text.into(), filter, variables, uses_now, reads_for_truth })
}

fn parse(text: &str) -> Result<Term<&str>, CompileError> {
    let tokens = Lexer::new(text).lex().map_err(|errors| error::from_lexer(text, &errors))?;
    Parser::new(&tokens)
        .parse(jaq_core::load::Parser::term)
        .map_err(|errors| error::from_parser(text, &errors))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> CompileError {
        compile(text, &Options::default()).err().unwrap_or_else(|| panic!("{text} compiles"))
    }

    fn place(text: &str) -> (usize, usize) {
        let error = refusal(text);
        (error.line(), error.column())
    }

    #[test]
    fn errors_have_places() {
        assert_eq!(place(""), (1, 1));
        assert_eq!(place(".a |"), (1, 5));
        assert_eq!(place(".a | foo"), (1, 6));
        assert_eq!(place(".a\n  | map(foo)"), (2, 9));
        assert_eq!(place("\"é😀\" | $x"), (1, 8));
        assert_eq!(place("# é\r\n.a + ]"), (2, 6));
        assert_eq!(place("(1"), (1, 3));
        assert_eq!(place("\"abc"), (1, 5));
        assert_eq!(place("\"\\x\""), (1, 3));
        assert_eq!(place("{a: §}"), (1, 5));
        assert_eq!(place("break $out"), (1, 7));
        assert_eq!(place(".a; .b"), (1, 3));
        assert_eq!(place("if . then 1"), (1, 12));
        assert_eq!(place("reduce . as $x (0)"), (1, 1));
    }

    #[test]
    fn errors_say_what_is_wrong() {
        let says = |text: &str, part: &str| {
            let message = refusal(text).to_string();
            assert!(message.contains(part), "{message}");
        };
        says(".a | foo(1)", "`foo/1` is not defined");
        says("$x", "variable `$x` is not defined");
        says("break $x", "label `$x` is not defined");
        says("a::b", "module `a` is not defined");
        says("(1", "expected closing parenthesis");
        says(".a; .b", "unexpected `;`");
        says("if . then 1", "expected else or end, found the end");
        says(&"x".repeat(MAX_TEXT_BYTES + 1), "longer than 16384 bytes");
    }

    #[test]
    fn nothing_but_the_input_can_be_reached() {
        for text in [
            "env",
            "$ENV",
            "env.HOME",
            "input",
            "[inputs]",
            "input_filename",
            "input_line_number",
            "debug",
            "debug(\"x\")",
            "stderr",
            "halt",
            "halt_error",
            "halt_error(1)",
            "now",
            "localtime",
            "strflocaltime(\"%Y\")",
            "__filter",
            "$__prog_args",
            "$__loc__",
            "get_search_list",
            "import \"a\" as a; 1",
            "import \"a\" as $a; $a",
            "include \"a\"; 1",
            "modulemeta",
            "limit(1; input)",
        ] {
            refusal(text);
        }
        for name in error::WITHHELD {
            for call in [(*name).to_owned(), format!("{name}(1)")] {
                let refusal = refusal(&format!("\n1 | {call}"));
                let says = format!(
                    "line 2, column 5: `{name}` is not available: a filter reads nothing but its input"
                );
                assert_eq!(refusal.to_string(), says);
            }
        }
        assert!(refusal("now").to_string().contains("the time is not offered here"));
    }

    #[test]
    fn the_time_exists_where_it_is_offered() {
        let options = Options { now: true, ..Options::default() };
        assert!(compile("now | todate", &options).is_ok());
        assert!(compile("$now", &options).is_err());
    }

    #[test]
    fn variables_have_names() {
        for name in ["a", "$", "$1", "$a b", "$é", "$a;", ""] {
            let options = Options { variables: &[name], now: false };
            assert!(compile(".", &options).is_err(), "{name}");
        }
        let options = Options { variables: &["$a", "$b_2"], now: true };
        assert!(compile("$a + $b_2 + now", &options).is_ok());
    }

    #[test]
    fn a_program_holds_only_what_it_uses() {
        let needed = |text| {
            let tree = parse(text).unwrap();
            PRELUDE.needed(survey::names(&rewrite::term(tree))).len()
        };
        assert_eq!(needed(".data.amount > 100"), 0);
        assert!((1..15).contains(&needed("with_entries(.value += 1)")));
    }

    #[test]
    fn the_longest_texts_of_every_nesting_are_survived() {
        let fill = |part: &str, end: &str| {
            let times = MAX_TEXT_BYTES / (part.len() + end.len());
            (part.repeat(times), end.repeat(times))
        };
        for (part, end) in [
            ("(", ")"),
            ("[", "]"),
            ("{a:", "}"),
            ("\"\\(", ")\""),
            ("-", ""),
            ("try ", ""),
            ("if ", " then 1 end"),
            ("if 1 then ", " end"),
            (".[", "]"),
            (".|", ""),
            (". as $x|", ""),
            (". as [$x]|", ""),
            ("def f:", ";1"),
            ("def f:1;", ""),
            ("label $x|", ""),
            ("reduce ", " as $x (1;1)"),
            ("reduce 1 as $x (", ";1)"),
            ("1+", ""),
            ("1,", ""),
            ("1//", ""),
            (".a=", ""),
            ("f(", ")"),
            ("@csv \"\\(", ")\""),
        ] {
            let (open, close) = fill(part, end);
            for text in [open.clone(), format!("{open}1{close}"), format!("{open}.{close}")] {
                let _ = compile(&text, &Options::default());
            }
        }
        let pattern = format!(". as {}$x{} | $x", "[".repeat(8_000), "]".repeat(8_000));
        assert!(refusal(&pattern).to_string().contains("nested"));
        let braces = format!(". as {}$x{} | $x", "{a:".repeat(4_000), "}".repeat(4_000));
        assert!(refusal(&braces).to_string().contains("nested"));
    }

    #[test]
    fn functions_with_filters_do_not_call_themselves() {
        let says = |text: &str| {
            let message = refusal(text).to_string();
            assert!(message.contains("cannot call itself"), "{message}");
        };
        says("def f(g): f(g); f(.)");
        says("def f(g; $x): if $x == 0 then g else f(g; $x - 1) end; f(.; 3)");
        says("def f(g): def h: f(g | .); h; f(.)");
        says("def f(g): [.[] | f(g)]; f(.)");
        for fine in [
            "def f(g): def again: if . > 9 then . else g | again end; again; 1 | f(. + 1)",
            "def f($x): if $x == 0 then 0 else f($x - 1) end; f(3)",
            "def f(g): def f(h): h; f(g); f(.)",
            "def f: def g(h): h; g(f); 1",
        ] {
            assert!(compile(fine, &Options::default()).is_ok(), "{fine}");
        }
    }
}
