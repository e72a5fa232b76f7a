//! What the engine itself has to say: events about tasks and promises, for whoever notifies people.

use serde_json::{Value, json};

use super::{Machine, derived_id};

impl Machine<'_> {
    /// Puts an event of the engine among what is committed with the step. `seed` makes it one of its kind within the
    /// instance.
    pub(super) fn tell(&mut self, event_type: &str, subject: &str, seed: &str, data: Value) {
        let document = &self.program.workflow().document;
        let mut data = data;
        data["workflow_id"] = json!(self.state.id.as_str());
        data["definition"] = json!(format!("{}/{}", document.namespace, document.name));
        let place = format!("{}!{event_type}!{seed}", self.state.id);
        self.changes.events.push(json!({
            "specversion": "1.0",
            "id": format!("evt_{}", derived_id(self.at, &place)),
            "source": format!("/workflows/{}/{}", document.namespace, document.name),
            "type": event_type,
            "subject": subject,
            "time": self.at.to_rfc3339(),
            "data": data,
        }));
    }
}
