//! The variables of expressions, and which of them exist where.

use std::sync::Arc;

/// A variable of an expression.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variable {
    /// `$context`: the instance's context.
    Context,
    /// `$input`: the task's transformed input.
    Input,
    /// `$output`: the task's transformed output.
    Output,
    /// `$secrets`: values of declared secrets by name.
    Secrets,
    /// `$secret`: the same, as other engines call it.
    Secret,
    /// `$task`: name, reference, definition, raw input and output, and start of the task.
    Task,
    /// `$workflow`: id, definition, raw input and start of the instance.
    Workflow,
    /// `$runtime`: name and version of this program.
    Runtime,
    /// `$authorization`: scheme and parameter that the call was made with.
    Authorization,
    /// A variable of an enclosing loop or handler.
    Local(Arc<str>),
}

/// When an expression is evaluated, which decides what it can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// `input.from` of the workflow.
    WorkflowInput,
    /// `if` of a task, before anything else of it.
    Condition,
    /// `input.from` of a task.
    Input,
    /// The body of a task.
    Body,
    /// `output.as` of a task.
    Output,
    /// `export.as` of a task.
    Export,
    /// `output.as` of the workflow.
    WorkflowOutput,
    /// Before there is an instance: filters of triggers and keys of starts.
    Trigger,
}

impl Variable {
    const FIXED: [Variable; 9] = [
        Self::Context,
        Self::Input,
        Self::Output,
        Self::Secrets,
        Self::Secret,
        Self::Task,
        Self::Workflow,
        Self::Runtime,
        Self::Authorization,
    ];

    /// The name, without `$`.
    pub fn name(&self) -> &str {
        match self {
            Self::Context => "context",
            Self::Input => "input",
            Self::Output => "output",
            Self::Secrets => "secrets",
            Self::Secret => "secret",
            Self::Task => "task",
            Self::Workflow => "workflow",
            Self::Runtime => "runtime",
            Self::Authorization => "authorization",
            Self::Local(name) => name,
        }
    }

    /// Tells whether a loop or handler may not use the name.
    pub(crate) fn is_reserved(name: &str) -> bool {
        Self::FIXED.iter().any(|variable| variable.name() == name)
    }

    /// Finds the variable of another stage that a message of the compiler complains of.
    pub(crate) fn foreign(message: &str, stage: Stage) -> Option<&'static str> {
        static FIXED: [Variable; 9] = Variable::FIXED;
        let missing = FIXED.iter().filter(|variable| !stage.variables().contains(variable));
        missing.map(Variable::name).find(|name| message.contains(&format!("`${name}`")))
    }
}

impl Stage {
    /// The variables of the specification's table.
    pub(crate) fn variables(self) -> &'static [Variable] {
        use Variable::{Authorization, Context, Input, Output, Runtime, Secret, Secrets, Task, Workflow};
        match self {
            Self::WorkflowInput => &[Secrets, Secret, Workflow, Runtime],
            Self::Condition | Self::Input => &[Context, Secrets, Secret, Task, Workflow, Runtime],
            Self::Body | Self::Output => {
                &[Context, Input, Secrets, Secret, Task, Workflow, Runtime, Authorization]
            }
            Self::Export => {
                &[Context, Input, Output, Secrets, Secret, Task, Workflow, Runtime, Authorization]
            }
            Self::WorkflowOutput => &[Context, Secrets, Secret, Workflow, Runtime],
            Self::Trigger => &[Runtime],
        }
    }

    /// The stage in words, for faults.
    pub(crate) fn place(self) -> &'static str {
        match self {
            Self::WorkflowInput => "the workflow's `input.from`",
            Self::Condition => "`if`",
            Self::Input => "`input.from`",
            Self::Body => "the body of a task",
            Self::Output => "`output.as`",
            Self::Export => "`export.as`",
            Self::WorkflowOutput => "the workflow's `output.as`",
            Self::Trigger => "what is evaluated before the workflow starts",
        }
    }
}
