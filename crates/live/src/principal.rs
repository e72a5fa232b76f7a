//! Who is connected, and which rooms they may join.

use trunkline_model::{Room, Tenant, Timestamp, TokenId};

use crate::rules::Rules;

/// How far somebody's role reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Every room of the tenant, and every type of event may be sent.
    Everything,
    /// All events of the tenant, and every type of event may be sent.
    Emitter,
    /// All events of the tenant; rooms of persons and roles only when they are their own.
    Reader,
    /// Only their own rooms.
    Own,
}

/// Somebody who is connected.
#[derive(Debug, Clone)]
pub struct Principal {
    /// Whose events they see.
    pub tenant: Tenant,
    /// The token they came with.
    pub token_id: TokenId,
    /// Its role, a word.
    pub role: &'static str,
    /// How far that reaches.
    pub reach: Reach,
    /// The person.
    pub user: Option<String>,
    /// Their groups, which count as roles.
    pub groups: Vec<String>,
    /// Rooms that the token names.
    pub rooms: Vec<Room>,
    /// When the token stops working.
    pub expires_at: Option<Timestamp>,
}

impl Principal {
    /// Whether one of the roles is theirs.
    pub(crate) fn is_one_of(&self, roles: &[String]) -> bool {
        roles.iter().any(|role| role == self.role || self.groups.contains(role))
    }

    /// Whether they may send any event, whatever the rules say.
    pub(crate) fn may_send_all(&self) -> bool {
        matches!(self.reach, Reach::Everything | Reach::Emitter)
    }

    /// Whether a room is theirs: their person, or named by their token.
    pub(crate) fn owns(&self, room: &Room) -> bool {
        match room.kind() {
            "user" => self.user.as_deref() == Some(room.id()),
            _ => self.rooms.contains(room),
        }
    }

    /// Whether they may join a room of their tenant. The rule of all live updates.
    pub(crate) fn may_join(&self, room: &Room, rules: &Rules) -> bool {
        match room.kind() {
            "tenant" => self.reach != Reach::Own && room.id() == self.tenant.as_str(),
            _ if self.reach == Reach::Everything => true,
            "user" => self.owns(room),
            "role" => room.id() == self.role || self.groups.iter().any(|group| group == room.id()),
            _ => self.owns(room) || rules.open(room, self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::RoomRule;

    fn somebody(role: &'static str, reach: Reach) -> Principal {
        Principal {
            tenant: Tenant::parse("acme").unwrap(),
            token_id: TokenId::fresh(),
            role,
            reach,
            user: Some("ann".to_owned()),
            groups: vec!["dispatcher".to_owned()],
            rooms: vec![Room::parse("clinic:42").unwrap()],
            expires_at: None,
        }
    }

    #[test]
    fn who_may_join_what() {
        let rule = RoomRule::new("driver.*", "route:{route.id}", vec!["dispatcher".into()]).unwrap();
        let rules = Rules::new(vec![rule], vec![]);
        let (admin, viewer) = (somebody("admin", Reach::Everything), somebody("viewer", Reach::Reader));
        let member = somebody("member", Reach::Own);
        let check = |room: &str, expected: [bool; 3]| {
            let room = Room::parse(room).unwrap();
            let found = [&admin, &viewer, &member].map(|one| one.may_join(&room, &rules));
            assert_eq!(found, expected, "{room}");
        };
        check("tenant:acme", [true, true, false]);
        check("tenant:other", [false, false, false]);
        check("user:ann", [true, true, true]);
        check("user:bob", [true, false, false]);
        check("clinic:42", [true, true, true]);
        check("clinic:43", [true, false, false]);
        check("role:dispatcher", [true, true, true]);
        check("role:member", [true, false, true]);
        check("role:admin", [true, false, false]);
        check("route:7", [true, true, true]);
        check("driver:7", [true, false, false]);
    }
}
