//! `switch`: chooses where to go. The first case that holds counts; without one, the default; without a default the flow
//! goes on as after any task (rules 10 and 33). The output is the input.

use std::sync::Arc;

use crate::dsl::flow::Jump;
use crate::expression::{Expression, Stage};
use crate::read::{At, Extra, Fields, Reader};
use crate::rule::Rule;

/// Chooses where to go.
#[derive(Debug, Clone)]
pub struct Switch {
    /// The cases, in order.
    pub cases: Vec<Case>,
}

/// One way to go.
#[derive(Debug, Clone)]
pub struct Case {
    /// Its name.
    pub name: Arc<str>,
    /// What must hold; nothing in the default.
    pub when: Option<Expression>,
    /// Where it leads.
    pub then: Jump,
}

impl Switch {
    /// Tells whether there is a default.
    pub fn has_default(&self) -> bool {
        self.cases.iter().any(|case| case.when.is_none())
    }
}

impl Reader {
    pub(super) fn switch(&mut self, fields: &mut Fields<'_>) -> Option<Switch> {
        let at = fields.required("switch", self)?;
        let items = self.list(&at)?;
        if items.is_empty() {
            self.shape(&at, "a switch without cases", "add a case");
        }
        let mut cases: Vec<Case> = Vec::new();
        let mut has_default = false;
        for item in &items {
            let Some((name, at)) = self.single(item, "a case") else { continue };
            if has_default {
                let fix = "give the earlier case a `when`, or move it to the end";
                self.rule(Rule::SwitchDefault, &at, "a case after the default is never reached", fix);
            }
            if cases.iter().any(|case| &*case.name == name) {
                self.rule(Rule::TaskNames, &at, "the name of the case is taken already", "choose another");
            }
            has_default |= !at.has("when");
            cases.extend(self.case(name, &at));
        }
        Some(Switch { cases })
    }

    fn case(&mut self, name: &str, at: &At<'_>) -> Option<Case> {
        let mut fields = Fields::open(at, "a case", self)?;
        let when = self.optional_expression(&mut fields, "when", Stage::Body);
        let then = fields.required("then", self).and_then(|at| self.jump(&at));
        fields.close(Extra::Closed, self);
        Some(Case { name: name.into(), when, then: then? })
    }
}
