//! What the admin API works on.

use std::sync::Arc;

use super::about::About;
use crate::control::audit::Audit;
use crate::control::gateways::Gateways;
use crate::control::instances::InstanceAdmin;
use crate::control::keys::KeyAdmin;
use crate::control::settings::StoreSettings;
use crate::control::tokens::Tokens;
use crate::gateway::events::Events;
use crate::gateway::presence::Presence;
use crate::gateway::registrations::Instances;
use crate::gateway::telemetry_senders::Senders;

/// All that calls of the admin API work on, the same over gRPC and REST.
#[derive(Clone)]
pub struct AdminState {
    /// Keys.
    pub keys: Arc<KeyAdmin>,
    /// Live sessions and refusals, of all gateways.
    pub presence: Arc<Presence>,
    /// Agents and instances.
    pub instances: Arc<Instances>,
    /// The deletion of instances.
    pub instance_admin: InstanceAdmin,
    /// Senders of telemetry.
    pub senders: Arc<Senders>,
    /// Events.
    pub events: Arc<Events>,
    /// Admin tokens, which also authenticate callers.
    pub tokens: Tokens,
    /// The gateways of the store.
    pub gateways: Gateways,
    /// The audit trail.
    pub audit: Arc<Audit>,
    /// The gateway that answers.
    pub about: Arc<About>,
    /// Settings of all gateways of the store.
    pub settings: StoreSettings,
}
