//! `try`: tasks with a handler for their errors. A caught error is retried first; when no retry is left, `catch.do` runs,
//! and without it the error goes on (rule 6).

use std::sync::Arc;

use trunkline_packs::document::Content;

use super::Block;
use crate::dsl::error::ErrorFilter;
use crate::dsl::flow::Jump;
use crate::dsl::retry::RetryPolicy;
use crate::expression::{Expression, Stage};
use crate::read::{At, Component, Extra, Fields, Reader};

/// Tasks with a handler.
#[derive(Debug, Clone)]
pub struct Try {
    /// The tasks.
    pub tasks: Block,
    /// The handler.
    pub catch: Catch,
}

/// A handler of errors.
#[derive(Debug, Clone)]
pub struct Catch {
    /// Which errors it takes; all where absent.
    pub errors: Option<ErrorFilter>,
    /// The variable of the error. Reusable retry policies know it as `$error`, whatever its name is here.
    pub variable: Arc<str>,
    /// Takes only errors for which this holds.
    pub when: Option<Expression>,
    /// Takes no errors for which this holds.
    pub except_when: Option<Expression>,
    /// How often to try again.
    pub retry: Option<Arc<RetryPolicy>>,
    /// Whether there is a `do`, which may be empty.
    pub has_handler: bool,
    /// The tasks of `do`.
    pub tasks: Block,
    /// Where to go from there; as after any task where absent.
    pub then: Option<Jump>,
}

/// The variable of a caught error, where no other name is given.
pub const ERROR_VARIABLE: &str = "error";

impl Reader {
    pub(super) fn try_task(&mut self, fields: &mut Fields<'_>) -> Option<Try> {
        let tasks = fields.required("try", self).map(|at| self.block(&at));
        let catch = fields.required("catch", self).and_then(|at| self.catch(&at));
        Some(Try { tasks: tasks?, catch: catch? })
    }

    fn catch(&mut self, at: &At<'_>) -> Option<Catch> {
        let stage = Stage::Body;
        let mut fields = Fields::open(at, "`catch`", self)?;
        let errors = fields.optional("errors").and_then(|at| self.caught(&at));
        let variable = fields.optional("as");
        let variable = self.variable(variable, ERROR_VARIABLE);
        let retry = fields.optional("retry");
        let tasks = fields.optional("do");
        let catch = self.with_locals([variable.clone()], |reader| Catch {
            errors,
            variable,
            when: reader.optional_expression(&mut fields, "when", stage),
            except_when: reader.optional_expression(&mut fields, "exceptWhen", stage),
            retry: retry.and_then(|at| reader.retry_or_name(&at)),
            has_handler: tasks.is_some(),
            tasks: tasks.map(|at| reader.block(&at)).unwrap_or_default(),
            then: fields.optional("then").and_then(|at| reader.jump(&at)),
        });
        fields.close(Extra::Closed, self);
        Some(catch)
    }

    fn caught(&mut self, at: &At<'_>) -> Option<ErrorFilter> {
        let mut fields = Fields::open(at, "`catch.errors`", self)?;
        let filter = fields.optional("with").and_then(|at| self.error_filter(&at));
        fields.close(Extra::Open, self);
        filter
    }

    fn retry_or_name(&mut self, at: &At<'_>) -> Option<Arc<RetryPolicy>> {
        if let Content::Text(name) = &at.node.content {
            self.component_declared(Component::Retry, name, at);
            return self.components.retries.get(name).cloned();
        }
        self.retry_policy(at).map(Arc::new)
    }
}
