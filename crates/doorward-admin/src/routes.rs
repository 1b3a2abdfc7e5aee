//! The table of routes: every operation of the admin API, one line each.

use crate::operation::Route;
use crate::service::*;
use crate::{apply, events, health};

/// All routes under `/admin/v1`, but for the stream of events.
pub fn all() -> Vec<Route> {
    vec![
        apply::APPLY.route(),
        apply::EXPORT.route(),
        approvals::LIST.route(),
        approvals::SHOW.route(),
        approvals::APPROVE.route(),
        approvals::REFUSE.route(),
        audit::SEARCH.route(),
        audit::SHOW.route(),
        audit::LINES.route(),
        audit::EXPORT.route(),
        audit::EXPORTS.route(),
        audit::VERIFY.route(),
        audit::KEYS.route(),
        audit::EVIDENCE.route(),
        audit::RETAIN.route(),
        audit::HOLDS.route(),
        audit::HOLD.route(),
        audit::RELEASE.route(),
        catalog::LIST.route(),
        clients::LIST.route(),
        clients::REMOVE.route(),
        credentials::LIST.route(),
        credentials::PUT.route(),
        credentials::REMOVE.route(),
        credentials::REKEY.route(),
        credentials::CONNECT.route(),
        credentials::DISCONNECT.route(),
        credits::LIST.route(),
        credits::SHOW.route(),
        credits::ENTRIES.route(),
        credits::GRANT.route(),
        credits::BUDGET.route(),
        credits::CHECK.route(),
        flow::LIST.route(),
        flow::CLEAR.route(),
        grants::LIST.route(),
        grants::REVOKE.route(),
        keys::LIST.route(),
        keys::SHOW.route(),
        keys::CREATE.route(),
        keys::ROTATE.route(),
        keys::REVOKE.route(),
        life::LIST.route(),
        life::SHOW.route(),
        life::PROPOSE.route(),
        life::REVIEW_OF.route(),
        life::HISTORY.route(),
        life::REVIEW.route(),
        life::LOOK.route(),
        life::APPROVE.route(),
        life::REJECT.route(),
        life::ACTIVATE.route(),
        life::DEPRECATE.route(),
        life::RETIRE.route(),
        life::QUARANTINE.route(),
        life::RELEASE.route(),
        life::DIFF.route(),
        life::ACCEPT.route(),
        life::REFUSE.route(),
        limits::LIST.route(),
        limits::USE.route(),
        logins::LIST.route(),
        logins::END.route(),
        logins::END_ALL.route(),
        policies::SHOW.route(),
        policies::CHECK.route(),
        policies::DIFF.route(),
        draft::DRAFT.route(),
        trying::TEST.route(),
        trying::EXPLAIN.route(),
        trying::SIMULATE.route(),
        policies::APPLY.route(),
        policies::ROLL_BACK.route(),
        policies::VERSIONS.route(),
        policies::VERSION.route(),
        portals::LIST.route(),
        portals::SHOW.route(),
        portals::PUT.route(),
        portals::REMOVE.route(),
        prices::LIST.route(),
        principals::LIST.route(),
        principals::SHOW.route(),
        principals::PUT.route(),
        principals::REMOVE.route(),
        definitions::OF_SERVER.route(),
        tools::LIST.route(),
        tools::SHOW.route(),
        tools::CALLERS.route(),
        principals::RENAME.route(),
        registries::LIST.route(),
        registries::ENTRIES.route(),
        registries::READ.route(),
        requests::LIST.route(),
        requests::SHOW.route(),
        requests::GRANT.route(),
        requests::REFUSE.route(),
        servers::STATUS.route(),
        servers::STATUS_OF.route(),
        sessions::LIST.route(),
        sessions::END.route(),
        sessions::TELEMETRY.route(),
        streams::LIST.route(),
        streams::END.route(),
        settings::SHOW.route(),
        settings::RELOAD.route(),
        stops::LIST.route(),
        stops::SHOW.route(),
        stops::SET.route(),
        stops::LIFT.route(),
        usage::REPORT.route(),
        webhooks::LIST.route(),
        webhooks::DELIVERIES.route(),
        webhooks::TEST.route(),
        webhooks::REDELIVER.route(),
    ]
}

/// Whether a route reads what another one changes: the same path, or what an action is done to. Such changes can be made on
/// a condition.
pub fn reads(reader: &Route, changer: &Route) -> bool {
    let parent = changer.path.rsplit_once('/').map(|(parent, _)| parent);
    !reader.changes()
        && reader.path_parameters().next().is_some()
        && (reader.path == changer.path || parent == Some(reader.path))
}

/// The paths of the admin listener.
pub fn paths() -> Vec<&'static str> {
    let mut paths: Vec<_> = all().iter().map(|route| route.path).collect();
    paths.extend(health::PATHS);
    paths.push(events::PATH);
    paths.sort_unstable();
    paths.dedup();
    paths
}

/// Whether a change shuts out everybody who has no credential, or gives somebody rights for the time after. While nobody
/// has to authenticate, that is done where the store can be written, and not by whoever can reach the listener: a web page
/// in a browser on this machine can (attack T10). What only tries policies changes nothing.
pub fn closes(path: &str) -> bool {
    const CLOSING: [&str; 4] = ["keys", "policies", "principals", "apply"];
    const TRYING: [&str; 6] = ["check", "diff", "draft", "explain", "simulate", "test"];
    let rest = path.strip_prefix("/admin/v1/").unwrap_or_default();
    let mut parts = rest.split('/');
    let noun = parts.next().unwrap_or_default();
    let tries = noun == "policies" && parts.next().is_some_and(|verb| TRYING.contains(&verb));
    CLOSING.contains(&noun) && !tries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_tries_policies_closes_nothing() {
        for (path, expected) in [
            ("/admin/v1/policies", true),
            ("/admin/v1/policies/rollback", true),
            ("/admin/v1/policies/check", false),
            ("/admin/v1/policies/simulate", false),
            ("/admin/v1/keys/check", true),
            ("/admin/v1/servers", false),
        ] {
            assert_eq!(closes(path), expected, "{path}");
        }
    }
}
