//! Who may call what: one table. Invariant: a call that is not in it is refused.

use crate::store::Role;

use Role::{Admin, Operator, Viewer};

/// Each call and the least role it needs; the protos say the same.
#[rustfmt::skip]
const LEAST: &[(&str, Role)] = &[
    ("/muster.admin.v1.KeyService/GetKey", Viewer),
    ("/muster.admin.v1.KeyService/ListKeys", Viewer),
    ("/muster.admin.v1.KeyService/EditKey", Operator),
    ("/muster.admin.v1.KeyService/RevokeKey", Operator),
    ("/muster.admin.v1.KeyService/CreateKey", Admin),
    ("/muster.admin.v1.KeyService/DeleteKey", Admin),
    ("/muster.admin.v1.KeyService/DeleteKeys", Admin),
    ("/muster.admin.v1.AgentService/ListAgents", Viewer),
    ("/muster.admin.v1.AgentService/GetAgent", Viewer),
    ("/muster.admin.v1.AgentService/ListInstances", Viewer),
    ("/muster.admin.v1.AgentService/DeleteInstances", Admin),
    ("/muster.admin.v1.SettingsService/GetInstanceCleanup", Viewer),
    ("/muster.admin.v1.SettingsService/SetInstanceCleanup", Admin),
    ("/muster.admin.v1.EventService/StreamEvents", Viewer),
    ("/muster.admin.v1.AuditService/ListAudit", Viewer),
    ("/muster.admin.v1.RejectionService/ListRejections", Viewer),
    ("/muster.admin.v1.SessionService/ListSessions", Viewer),
    ("/muster.admin.v1.SessionService/DisconnectSession", Operator),
    ("/muster.admin.v1.GatewayService/ListGateways", Viewer),
    ("/muster.admin.v1.GatewayService/ForgetGateway", Admin),
    ("/muster.admin.v1.TokenService/CreateToken", Admin),
    ("/muster.admin.v1.TokenService/ListTokens", Admin),
    ("/muster.admin.v1.TokenService/RevokeToken", Admin),
    ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", Viewer),
    ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", Viewer),
];

/// The least role that may call `path`; `None`: nobody may.
pub(super) fn least_role(path: &str) -> Option<Role> {
    let found = LEAST.iter().find(|(call, _)| *call == path);
    found.map(|(_, role)| *role)
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::proto::admin::v1::DESCRIPTORS;

    /// What a method's comment says; its place in a file is
    /// `[6 (services), service, 2 (methods), method]`.
    fn comment(file: &prost_types::FileDescriptorProto, service: usize, method: usize) -> &str {
        let path = [6, service, 2, method].map(|n| i32::try_from(n).unwrap());
        let info = file.source_code_info.as_ref().unwrap();
        let place = info.location.iter().find(|place| place.path == path);
        place.unwrap().leading_comments()
    }

    #[test]
    fn every_call_of_ours_is_in_the_table_and_its_comment_says_the_role() {
        let set = FileDescriptorSet::decode(DESCRIPTORS).unwrap();
        let mut seen = 0;
        for file in &set.file {
            for (s, service) in file.service.iter().enumerate() {
                for (m, method) in service.method.iter().enumerate() {
                    let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                    let role = least_role(&path).unwrap_or_else(|| panic!("{path}: add it"));
                    let said = comment(file, s, m).replace('\n', " ");
                    let role = format!("Role: {role}.");
                    assert!(said.contains(&role), "{path}: its comment lacks {role:?}");
                    seen += 1;
                }
            }
        }
        let ours = LEAST
            .iter()
            .filter(|(path, _)| path.starts_with("/muster."));
        assert_eq!(seen, ours.count(), "a call in the table does not exist");
        assert_eq!(least_role("/muster.admin.v1.KeyService/Nothing"), None);
    }
}
