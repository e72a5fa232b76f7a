//! Roles, permissions, and the one table that joins them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What a token may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Everything inside the tenant, tokens included.
    Admin,
    /// Everything but tokens.
    Operator,
    /// Emits events and reads them.
    Emitter,
    /// Reads everything but tokens.
    Viewer,
    /// Receives live updates of its own rooms, and sends what the configuration lets it, and positions of its driver.
    Member,
    /// Looks after endpoints from the receiving side; see `portal`.
    Portal,
}

impl Permission {
    /// Whether it is about changing something.
    pub(crate) const fn is_write(self) -> bool {
        matches!(self, Self::EndpointsWrite | Self::DeliveriesWrite)
    }
}

impl Role {
    /// Every role that tokens of `/api/v1/tokens` can have: all but `Portal`.
    pub const ALL: [Self; 5] = [Self::Admin, Self::Operator, Self::Emitter, Self::Viewer, Self::Member];

    /// The stored form.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Operator => "operator",
            Self::Emitter => "emitter",
            Self::Viewer => "viewer",
            Self::Member => "member",
            Self::Portal => "portal",
        }
    }

    /// Reads the stored form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }

    /// Whether the role includes a permission. The rule of the whole API.
    pub const fn allows(self, permission: Permission) -> bool {
        match self {
            Self::Admin => true,
            Self::Operator => !matches!(permission, Permission::TokensManage),
            Self::Portal => matches!(
                permission,
                Permission::EndpointsWrite
                    | Permission::EndpointsRead
                    | Permission::DeliveriesWrite
                    | Permission::DeliveriesRead
                    | Permission::CatalogueRead
            ),
            Self::Emitter => matches!(
                permission,
                Permission::EventsWrite
                    | Permission::EventsRead
                    | Permission::CatalogueRead
                    | Permission::LiveJoin
            ),
            Self::Member => matches!(
                permission,
                Permission::LiveJoin | Permission::TrackingWrite | Permission::TrackingRead
            ),
            Self::Viewer => matches!(
                permission,
                Permission::EventsRead
                    | Permission::CatalogueRead
                    | Permission::EndpointsRead
                    | Permission::DeliveriesRead
                    | Permission::InboundRead
                    | Permission::DeadLettersRead
                    | Permission::StatusRead
                    | Permission::WorkflowsRead
                    | Permission::TasksRead
                    | Permission::LogisticsRead
                    | Permission::TrackingRead
                    | Permission::LiveJoin
            ),
        }
    }
}

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident $wire:literal;)*) => {
        /// One thing that a token may or may not do.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum Permission { $($(#[$doc])* $name,)* }

        impl Permission {
            /// The name in the OpenAPI document.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $wire,)* }
            }
        }

        /// A type for each permission, for use in handlers' signatures.
        pub mod grants {
            $(
                $(#[$doc])*
                #[derive(Debug, Clone, Copy)]
                pub struct $name;

                impl super::Grant for $name {
                    const PERMISSION: super::Permission = super::Permission::$name;
                }
            )*
        }
    };
}

/// A permission as a type.
pub trait Grant: Send + Sync + 'static {
    /// The permission.
    const PERMISSION: Permission;
}

permissions! {
    /// Emit events.
    EventsWrite "events:write";
    /// Read events and journeys.
    EventsRead "events:read";
    /// Add, change and remove event types, and choose how strictly events are held against them.
    CatalogueWrite "catalogue:write";
    /// Read the event catalogue.
    CatalogueRead "catalogue:read";
    /// Create, change and delete endpoints.
    EndpointsWrite "endpoints:write";
    /// Read endpoints.
    EndpointsRead "endpoints:read";
    /// Test, retry and replay.
    DeliveriesWrite "deliveries:write";
    /// Read deliveries and attempts.
    DeliveriesRead "deliveries:read";
    /// Judge inbound requests again.
    InboundWrite "inbound:write";
    /// Read inbound requests.
    InboundRead "inbound:read";
    /// Remove dead letters.
    DeadLettersWrite "dead_letters:write";
    /// Read dead letters.
    DeadLettersRead "dead_letters:read";
    /// Store definitions of workflows; start, advance, hold and end workflows.
    WorkflowsWrite "workflows:write";
    /// Read workflows and their definitions.
    WorkflowsRead "workflows:read";
    /// Claim, delegate and decide tasks of people. A viewer may when the token is a person's.
    TasksWrite "tasks:write";
    /// Read tasks of people.
    TasksRead "tasks:read";
    /// Look after clinics, drivers, deliveries, pickups, routes and invoices.
    LogisticsWrite "logistics:write";
    /// Read clinics, drivers, deliveries, pickups, routes and invoices.
    LogisticsRead "logistics:read";
    /// Send positions of drivers; a member's token those of its own driver alone.
    TrackingWrite "tracking:write";
    /// Read positions and figures of drivers; a member's token those of its own driver, and where a driver is who is on the
    /// way to its own clinic.
    TrackingRead "tracking:read";
    /// Receive live updates.
    LiveJoin "live:join";
    /// Create, list and revoke tokens.
    TokensManage "tokens:manage";
    /// Create, list and revoke tokens for the receiving side.
    PortalTokensManage "portal_tokens:manage";
    /// Read the hub's state.
    StatusRead "status:read";
}
