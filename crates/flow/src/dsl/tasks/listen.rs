//! `listen`: waits for events. The output is the list of them in the order they came (rule 12).

use std::sync::Arc;

use super::Block;
use crate::dsl::data_flow::{DataFlow, Step};
use crate::dsl::events::{ReadAs, Strategy};
use crate::expression::Stage;
use crate::read::{At, Extra, Fields, Reader};

/// Waits for events.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Which and how many.
    pub to: Strategy,
    /// How they are handed over.
    pub read: ReadAs,
    /// What to do with each as it comes.
    pub foreach: Option<Iterator>,
}

/// What to do with each event or message as it comes.
#[derive(Debug, Clone)]
pub struct Iterator {
    /// The variable of the event or message.
    pub item: Arc<str>,
    /// The variable of its index, which counts from 0.
    pub at: Arc<str>,
    /// The tasks.
    pub tasks: Block,
    /// What becomes of the output of each round.
    pub output: DataFlow,
    /// What of each round becomes the context.
    pub export: DataFlow,
}

impl Reader {
    pub(super) fn listen(&mut self, fields: &mut Fields<'_>) -> Option<Listen> {
        let at = fields.required("listen", self)?;
        let foreach = fields.optional("foreach").and_then(|at| self.iterator(&at));
        let mut fields = Fields::open(&at, "`listen`", self)?;
        let to = fields.required("to", self).and_then(|at| self.strategy(&at, Stage::Body));
        let read = fields.optional("read");
        let read = self.read_as(read);
        fields.close(Extra::Closed, self);
        Some(Listen { to: to?, read, foreach })
    }

    /// Reads what to do with each event or message.
    pub(super) fn iterator(&mut self, at: &At<'_>) -> Option<Iterator> {
        let mut fields = Fields::open(at, "`foreach`", self)?;
        let item = fields.optional("item");
        let item = self.variable(item, "item");
        let index = fields.optional("at");
        let index = self.variable(index, "index");
        let tasks = fields.optional("do");
        let (tasks, output, export) = self.with_locals([item.clone(), index.clone()], |reader| {
            (
                tasks.map(|at| reader.block(&at)).unwrap_or_default(),
                reader.data_flow(&mut fields, Step::Output, Stage::Output),
                reader.data_flow(&mut fields, Step::Export, Stage::Export),
            )
        });
        fields.close(Extra::Closed, self);
        Some(Iterator { item, at: index, tasks, output, export })
    }
}
