//! `for`: tasks for each item of a list, one after the other. The output of one iteration is the input of the next; of an
//! empty list the input is the output (rule 9).

use std::sync::Arc;

use serde_json::Value;
use trunkline_packs::document::Content;

use super::Block;
use crate::expression::{Expression, Stage, Template};
use crate::read::{At, Extra, Fields, Reader};
use crate::rule::Rule;

/// Tasks for each item.
#[derive(Debug, Clone)]
pub struct For {
    /// The variable of the item.
    pub each: Arc<str>,
    /// The variable of the index, which counts from 0.
    pub at: Arc<str>,
    /// The items: an expression that gives a list, or a list with expressions inside.
    pub items: Template,
    /// The loop ends before an iteration for which this does not hold.
    pub condition: Option<Expression>,
    /// The tasks.
    pub tasks: Block,
}

impl Reader {
    pub(super) fn for_task(&mut self, fields: &mut Fields<'_>) -> Option<For> {
        let at = fields.required("for", self)?;
        let condition = fields.optional("while");
        let tasks = fields.required("do", self);
        let mut fields = Fields::open(&at, "`for`", self)?;
        let each = fields.optional("each");
        let each_at = each.clone().unwrap_or_else(|| at.clone());
        let each = self.variable(each, "item");
        let index = fields.optional("at");
        let index = self.variable(index, "index");
        if each == index {
            self.rule(
                Rule::Variables,
                &each_at,
                "item and index have one name",
                "name one of them differently",
            );
        }
        let items = fields.required("in", self).and_then(|at| self.items(&at));
        fields.close(Extra::Closed, self);
        let (condition, tasks) = self.with_locals([each.clone(), index.clone()], |reader| {
            let condition = condition.and_then(|at| reader.expression(&at, Stage::Body));
            (condition, tasks.map(|at| reader.block(&at)))
        });
        Some(For { each, at: index, items: items?, condition, tasks: tasks? })
    }

    fn items(&mut self, at: &At<'_>) -> Option<Template> {
        let Content::List(items) = &at.node.content else {
            return self.expression(at, Stage::Body).map(Template::Expression);
        };
        for (index, item) in items.iter().enumerate() {
            self.object(&at.item(index, item));
        }
        if items.is_empty() {
            return Some(Template::Literal(Value::Array(Vec::new())));
        }
        Some(self.template(at, Stage::Body))
    }
}
