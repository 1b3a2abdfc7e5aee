//! What is done about an entry of another registry: a pure function of what is known of it, what the registry says, and
//! what has become of the server that was proposed for it.

use doorward_config::OnDeleted;
use doorward_governance::lifecycle::State as ServerState;
use doorward_store::{EntryState, RegistryEntry, StoredServer};

use super::entry::{Listed, Status};
use super::fetch::DeletedVersion;
use super::translate::Offer;

/// What is done about an entry, besides storing the state of the entry with a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// It is as it was.
    Unchanged,
    Record(EntryState, String),
    /// Its server is proposed, or proposed again.
    Propose(Offer),
    /// The proposal is withdrawn.
    Withdraw(EntryState, String),
    /// The server is taken out of use.
    Quarantine(EntryState, String),
}

/// Decides about an entry. `known` is what is stored of it; `server` is the server that was proposed for it, if it is still
/// this registry's; `deleted` is the version that it was proposed for, if that was deleted while the entry has another.
pub fn decide(
    listed: &Listed,
    offer: Result<Offer, String>,
    known: Option<&RegistryEntry>,
    server: Option<&StoredServer>,
    deleted: Option<&DeletedVersion>,
    on_deleted: OnDeleted,
) -> Decision {
    let is_open = server.is_some_and(|server| server.state.is_open());
    let is_in_use = server.is_some_and(|server| {
        matches!(
            server.state,
            ServerState::Approved | ServerState::Active | ServerState::Deprecated
        )
    });
    if let Status::Deleted(message) = &listed.status {
        let Some(known) = known else { return Decision::Unchanged };
        if known.state == EntryState::Deleted {
            return Decision::Unchanged;
        }
        let why = with_message("deleted from the registry", message);
        return match (is_in_use, on_deleted) {
            _ if is_open => Decision::Withdraw(EntryState::Deleted, why),
            (true, OnDeleted::Quarantine) => Decision::Quarantine(EntryState::Deleted, why),
            _ => Decision::Record(EntryState::Deleted, why),
        };
    }
    if let Some(deleted) = deleted.filter(|_| is_in_use && on_deleted == OnDeleted::Quarantine)
        && server.map(|server| server.digest.as_str())
            != offer.as_ref().ok().map(|offer| offer.digest.as_str())
    {
        let why = format!("version {} was deleted from the registry", deleted.version);
        let why = with_message(&why, &deleted.message);
        return Decision::Quarantine(EntryState::Proposed, why);
    }
    let offer = match offer {
        Ok(_) if listed.status == Status::Deprecated && server.is_none() => {
            return Decision::Record(EntryState::Skipped, "deprecated in the registry".into());
        }
        Ok(offer) => offer,
        Err(why) if is_open => return Decision::Withdraw(EntryState::Skipped, why),
        Err(why) if is_in_use => {
            let why = format!("version {} cannot be proposed: {why}", listed.version);
            return Decision::Record(EntryState::Proposed, why);
        }
        Err(why) => return Decision::Record(EntryState::Skipped, why),
    };
    let Some(server) = server else { return Decision::Propose(offer) };
    if server.digest == offer.digest {
        // What a reviewer has rejected stays so; what the registry itself has withdrawn is proposed again.
        let is_withdrawn = known.is_some_and(RegistryEntry::is_withdrawn);
        let is_back = known.is_some_and(|known| known.state == EntryState::Deleted);
        return match server.state {
            ServerState::Retired if is_withdrawn => Decision::Propose(offer),
            ServerState::Quarantined if is_back => {
                let why = "it is in the registry again: release the server to use it";
                Decision::Record(EntryState::Proposed, why.into())
            }
            _ => Decision::Record(EntryState::Proposed, String::new()),
        };
    }
    if is_open || server.state == ServerState::Retired {
        return Decision::Propose(offer);
    }
    let state = server.state.as_str();
    let why = format!(
        "version {} differs from what is {state}: retire the server to have it proposed",
        listed.version
    );
    Decision::Record(EntryState::Proposed, why)
}

/// A reason, with the registry's own message if there is one.
fn with_message(why: &str, message: &str) -> String {
    if message.is_empty() { why.to_owned() } else { format!("{why}: {message}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_store::ServerOrigin;

    fn listed(status: Status) -> Listed {
        Listed {
            name: "a.b/c".into(),
            version: "2.0.0".into(),
            status,
            is_latest: true,
            updated: None,
            server: serde_json::Map::new(),
        }
    }

    fn known(state: EntryState) -> RegistryEntry {
        RegistryEntry {
            registry: "public".into(),
            entry: "a.b/c".into(),
            version: "1.0.0".into(),
            state,
            reason: String::new(),
            server: "c".into(),
            proposed: "1.0.0".into(),
            spec: String::new(),
            digest: String::new(),
            updated: 0,
        }
    }

    fn server(state: ServerState) -> StoredServer {
        StoredServer {
            digest: "old".into(),
            state,
            origin: ServerOrigin::RunTime,
            ..StoredServer::trusted("c", "")
        }
    }

    fn word(decision: &Decision) -> &'static str {
        match decision {
            Decision::Unchanged => "nothing",
            Decision::Record(EntryState::Skipped, _) => "skip",
            Decision::Record(EntryState::Deleted, _) => "deleted",
            Decision::Record(..) => "record",
            Decision::Propose(_) => "propose",
            Decision::Withdraw(..) => "withdraw",
            Decision::Quarantine(..) => "quarantine",
        }
    }

    fn offer(digest: &str) -> Result<Offer, String> {
        Ok(Offer { spec: String::new(), digest: digest.into() })
    }

    #[test]
    fn a_new_entry_is_proposed_or_skipped() {
        let decided = |status, offer| {
            let decision = decide(&listed(status), offer, None, None, None, OnDeleted::Quarantine);
            word(&decision)
        };
        assert_eq!(decided(Status::Active, offer("new")), "propose");
        assert_eq!(decided(Status::Active, Err("why".into())), "skip");
        assert_eq!(decided(Status::Deprecated, offer("new")), "skip");
        assert_eq!(decided(Status::Deleted(String::new()), offer("new")), "nothing");
    }

    #[test]
    fn what_is_done_depends_on_what_became_of_the_server() {
        use ServerState::{Active, Approved, Deprecated, InReview, Proposed, Quarantined, Retired};
        let all = [Proposed, InReview, Approved, Active, Deprecated, Retired, Quarantined];
        let (p, n, w, q, d) = ("propose", "record", "withdraw", "quarantine", "deleted");
        let deleted = || Status::Deleted("malware".into());
        for (case, status, offer, was, on_deleted, expected) in [
            (
                "the same",
                Status::Active,
                offer("old"),
                EntryState::Proposed,
                OnDeleted::Quarantine,
                [n; 7],
            ),
            (
                "another",
                Status::Active,
                offer("new"),
                EntryState::Proposed,
                OnDeleted::Quarantine,
                [p, p, n, n, n, p, n],
            ),
            (
                "no remote any more",
                Status::Active,
                Err("x".into()),
                EntryState::Proposed,
                OnDeleted::Quarantine,
                [w, w, n, n, n, "skip", "skip"],
            ),
            (
                "deleted",
                deleted(),
                offer("old"),
                EntryState::Proposed,
                OnDeleted::Quarantine,
                [w, w, q, q, q, d, d],
            ),
            (
                "reported",
                deleted(),
                offer("old"),
                EntryState::Proposed,
                OnDeleted::Report,
                [w, w, d, d, d, d, d],
            ),
            (
                "deleted before",
                deleted(),
                offer("old"),
                EntryState::Deleted,
                OnDeleted::Quarantine,
                ["nothing"; 7],
            ),
            (
                "back",
                Status::Active,
                offer("old"),
                EntryState::Deleted,
                OnDeleted::Quarantine,
                [n; 7],
            ),
            (
                "deprecated",
                Status::Deprecated,
                offer("old"),
                EntryState::Proposed,
                OnDeleted::Quarantine,
                [n; 7],
            ),
        ] {
            for (state, expected) in all.into_iter().zip(expected) {
                let (known, server) = (known(was), server(state));
                let decision = decide(
                    &listed(status.clone()),
                    offer.clone(),
                    Some(&known),
                    Some(&server),
                    None,
                    on_deleted,
                );
                assert_eq!(word(&decision), expected, "{case}, {state:?}");
            }
        }
        let why = decide(
            &listed(deleted()),
            offer("old"),
            Some(&known(EntryState::Proposed)),
            Some(&server(Active)),
            None,
            OnDeleted::Quarantine,
        );
        let expected = "deleted from the registry: malware".to_owned();
        assert_eq!(why, Decision::Quarantine(EntryState::Deleted, expected));
    }
    #[test]
    fn what_the_registry_has_withdrawn_is_proposed_again_and_what_a_reviewer_rejected_is_not() {
        for state in [EntryState::Deleted, EntryState::Skipped] {
            let decided = |digest: &str| {
                let known = RegistryEntry { digest: digest.into(), ..known(state) };
                let server = server(ServerState::Retired);
                let (listed, offer) = (listed(Status::Active), offer("old"));
                let on = OnDeleted::Quarantine;
                word(&decide(&listed, offer, Some(&known), Some(&server), None, on))
            };
            assert_eq!((decided("old"), decided("")), ("propose", "record"), "{state:?}");
        }
    }

    #[test]
    fn a_deleted_version_is_taken_out_of_use_unless_the_latest_is_the_same() {
        let version = DeletedVersion { version: "1.0.0".into(), message: "malware".into() };
        for (state, digest, on_deleted, expected) in [
            (ServerState::Active, "new", OnDeleted::Quarantine, "quarantine"),
            (ServerState::Active, "old", OnDeleted::Quarantine, "record"),
            (ServerState::Active, "new", OnDeleted::Report, "record"),
            (ServerState::InReview, "new", OnDeleted::Quarantine, "propose"),
            (ServerState::Quarantined, "new", OnDeleted::Quarantine, "record"),
        ] {
            let (known, server) = (known(EntryState::Proposed), server(state));
            let (listed, offer) = (listed(Status::Active), offer(digest));
            let deleted = Some(&version);
            let decision = decide(&listed, offer, Some(&known), Some(&server), deleted, on_deleted);
            assert_eq!(word(&decision), expected, "{state:?} {digest}");
            if let Decision::Quarantine(entry, why) = decision {
                assert_eq!(entry, EntryState::Proposed);
                assert_eq!(why, "version 1.0.0 was deleted from the registry: malware");
            }
        }
    }
}
