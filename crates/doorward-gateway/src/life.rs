//! Decides which servers are served: those of the configuration file that need no review or have
//! passed it, and active ones that were proposed at run time. A server with unreadable settings is
//! not served.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use doorward_config::{ServerSettings, Settings, proposal};
use doorward_governance::lifecycle::State;
use doorward_governance::lifecycle::notice::{Notice, Notices};
use doorward_mcp::names::is_server_name;
use doorward_store::{ServerOrigin, StoredServer};
use parking_lot::Mutex;
use serde::Serialize;

/// The lifecycle states of all servers.
#[derive(Debug)]
pub struct Life {
    has_store: bool,
    /// The stored servers; `None` until they were read.
    rows: ArcSwapOption<Vec<StoredServer>>,
    /// Servers from the configuration file may have to be proposed.
    undeclared: AtomicBool,
    /// Held while the set of served servers is computed.
    pub(crate) serving: Mutex<()>,
    served: ArcSwap<Served>,
    notices: ArcSwap<Notices>,
    /// The day on which a server's review was last reported as due, if there is no store.
    pub(crate) due: Mutex<BTreeMap<String, String>>,
}

/// The served and the withheld servers.
#[derive(Debug, Default)]
pub struct Served {
    /// By name.
    pub servers: BTreeMap<String, ServerSettings>,
    /// The states of served and withheld servers, by name in lower case.
    pub states: BTreeMap<String, State>,
    pub withheld: Vec<Withheld>,
    pub(crate) notices: Notices,
}

/// A server that is not served, and why.
#[derive(Debug, Clone, Serialize)]
pub struct Withheld {
    pub name: String,
    pub state: State,
    pub why: String,
    /// Its settings, if they can be read, for access decisions.
    #[serde(skip)]
    pub settings: Option<Box<ServerSettings>>,
}

impl Life {
    pub fn new(has_store: bool) -> Self {
        Self {
            has_store,
            rows: ArcSwapOption::empty(),
            undeclared: AtomicBool::new(false),
            serving: Mutex::default(),
            served: ArcSwap::default(),
            notices: ArcSwap::default(),
            due: Mutex::default(),
        }
    }

    /// The notices for clients of deprecated servers.
    pub fn notices(&self) -> Arc<Notices> {
        self.notices.load_full()
    }

    pub fn served(&self) -> Arc<Served> {
        self.served.load_full()
    }

    /// The state of a served or withheld server.
    pub fn state_of(&self, name: &str) -> Option<State> {
        self.served.load().states.get(&name.to_ascii_lowercase()).copied()
    }

    /// The stored servers.
    pub fn rows(&self) -> Option<Arc<Vec<StoredServer>>> {
        self.rows.load_full()
    }

    /// Requests that servers from the configuration file are proposed if necessary.
    pub fn declare(&self) {
        self.undeclared.store(true, Ordering::Release);
    }

    pub fn has_undeclared(&self) -> bool {
        self.undeclared.load(Ordering::Acquire)
    }

    pub(crate) fn begin_declaring(&self) -> bool {
        self.undeclared.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn take(&self, rows: Vec<StoredServer>) {
        self.rows.store(Some(Arc::new(rows)));
    }

    /// Computes what is served with these settings. The caller holds `serving`.
    pub(crate) fn work_out(&self, settings: &Settings) -> Served {
        let rows = self.rows.load_full();
        // Nothing is served before the stored states are known: a server may be out of use.
        if self.has_store && rows.is_none() {
            return Served::default();
        }
        serves(settings, rows.as_deref().map_or(&[][..], Vec::as_slice))
    }

    /// Applies the computed result. Returns the servers whose notices to clients have changed.
    pub(crate) fn put(&self, served: Served) -> Vec<String> {
        let old = self.notices.load_full();
        let new = Arc::new(served.notices.clone());
        let names = old.keys().chain(new.keys().filter(|name| !old.contains_key(*name)));
        let changed = names.filter(|name| old.get(*name) != new.get(*name)).cloned().collect();
        self.notices.store(new);
        self.served.store(Arc::new(served));
        changed
    }
}

/// Computes what is served from the configuration file and the store. The file takes precedence for
/// equal names.
fn serves(settings: &Settings, rows: &[StoredServer]) -> Served {
    let mut served = Served::default();
    let row_of = |name: &str| rows.iter().find(|row| row.name.eq_ignore_ascii_case(name));
    for (name, wanted) in settings.active() {
        let row = row_of(name).filter(|row| row.origin == ServerOrigin::File);
        let reviewed = settings.is_reviewed(wanted);
        let (state, why) = match row {
            Some(row) if reviewed && row.digest != wanted.approval_digest() => {
                (State::Proposed, "its settings differ from those that were proposed last")
            }
            Some(row) if reviewed => (row.state, ""),
            None if reviewed => (State::Proposed, "it has not been proposed yet"),
            Some(row) if row.state.is_open() || row.state == State::Approved => (State::Active, ""),
            Some(row) => (row.state, ""),
            None => (State::Active, ""),
        };
        served.put(name, state, why.into(), Some(wanted.clone()), row);
    }
    for row in rows.iter().filter(|row| row.origin == ServerOrigin::RunTime) {
        if row.state == State::Retired {
            continue;
        }
        let same = |name: &&String| name.eq_ignore_ascii_case(&row.name);
        let taken = settings.servers.keys().find(same).map(|_| "server");
        let taken = taken.or_else(|| settings.portals.keys().find(same).map(|_| "portal"));
        if let Some(taken) = taken {
            if row.state.serves() {
                let why = format!("the configuration file has a {taken} of this name");
                tracing::error!(server = row.name, "the server is not served: {why}");
                let (name, state) = (row.name.clone(), row.state);
                served.withheld.push(Withheld { name, state, why, settings: None });
            }
            continue;
        }
        let wanted = match proposal::approved(&row.spec, row.allow_private) {
            Ok(wanted) if is_server_name(&row.name) => Ok(wanted),
            Ok(_) => Err("its name is not a server's".to_owned()),
            Err(problems) => Err(problems.iter().map(|it| format!("{it}; ")).collect()),
        };
        match wanted {
            Ok(wanted) => served.put(&row.name, row.state, String::new(), Some(wanted), Some(row)),
            Err(why) => {
                if row.state.serves() {
                    tracing::error!(server = row.name, "the server is not served: {why}");
                }
                served.put(&row.name, row.state, why, None, Some(row));
            }
        }
    }
    served
}

impl Served {
    fn put(
        &mut self,
        name: &str,
        state: State,
        why: String,
        settings: Option<ServerSettings>,
        row: Option<&StoredServer>,
    ) {
        let id = name.to_ascii_lowercase();
        self.states.insert(id.clone(), state);
        let settings = match settings {
            Some(settings) if state.serves() => settings,
            settings => {
                let why = if why.is_empty() { format!("it is {}", state.as_str()) } else { why };
                let (name, settings) = (name.to_owned(), settings.map(Box::new));
                return self.withheld.push(Withheld { name, state, why, settings });
            }
        };
        if state == State::Deprecated {
            let told = row.and_then(|row| row.deprecation.clone()).unwrap_or_default();
            let (successor, retires) = (told.successor.as_deref(), told.retires.as_deref());
            self.notices.insert(id, Notice::new(name, &told.note, successor, retires));
        }
        self.servers.insert(name.into(), settings);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_config::Lifecycle;

    fn row(name: &str, origin: ServerOrigin, state: State, digest: &str) -> StoredServer {
        StoredServer {
            name: name.into(),
            origin,
            state,
            quarantined_from: None,
            spec: r#"{"url":"https://a.example/mcp"}"#.into(),
            digest: digest.into(),
            allow_private: false,
            proposed_by: "alice".into(),
            proposed: 0,
            approved_by: None,
            deprecation: None,
            revision: 1,
            changed: 0,
        }
    }

    fn settings(lifecycle: Lifecycle) -> Settings {
        let servers = [("files".to_owned(), ServerSettings::sample())].into();
        Settings { servers, lifecycle, ..Settings::default() }
    }

    #[test]
    fn a_server_of_the_file_is_served_by_its_state() {
        let digest = ServerSettings::sample().approval_digest();
        for state in State::ALL {
            let rows = [row("Files", ServerOrigin::File, state, &digest)];
            let trusted = serves(&settings(Lifecycle::Trusted), &rows);
            let out = matches!(state, State::Retired | State::Quarantined);
            assert_eq!(trusted.servers.contains_key("files"), !out, "{state:?}, trusted");
            let reviewed = serves(&settings(Lifecycle::Reviewed), &rows);
            assert_eq!(reviewed.servers.contains_key("files"), state.serves(), "{state:?}");
            assert_eq!(reviewed.withheld.is_empty(), state.serves());
            let notice = reviewed.notices.contains_key("files");
            assert_eq!(notice, state == State::Deprecated);
            // Another server with the same name is not the approved one.
            let rows = [row("files", ServerOrigin::File, state, "another")];
            assert!(serves(&settings(Lifecycle::Reviewed), &rows).servers.is_empty());
        }
        assert!(serves(&settings(Lifecycle::Reviewed), &[]).servers.is_empty());
        assert_eq!(serves(&settings(Lifecycle::Trusted), &[]).servers.len(), 1);
    }

    #[test]
    fn a_server_of_run_time_is_served_while_it_is_active_and_the_file_comes_first() {
        for state in State::ALL {
            let rows = [row("tickets", ServerOrigin::RunTime, state, "d")];
            let served = serves(&settings(Lifecycle::Trusted), &rows);
            assert_eq!(served.servers.contains_key("tickets"), state.serves(), "{state:?}");
            assert!(served.servers.get("tickets").is_none_or(|wanted| wanted.public_only));
        }
        let rows = [row("FILES", ServerOrigin::RunTime, State::Active, "d")];
        let served = serves(&settings(Lifecycle::Trusted), &rows);
        assert!(served.servers["files"].sample && served.servers.len() == 1);
        assert!(served.withheld[0].why.contains("configuration file"));
        // This holds even if the file's server is not served.
        let served = serves(&settings(Lifecycle::Reviewed), &rows);
        assert!(served.servers.is_empty());
    }

    #[test]
    fn what_cannot_be_read_is_not_served() {
        for spec in ["", "nonsense", r#"{"command":"sh"}"#, r#"{"url":"http://127.0.0.1/"}"#] {
            let row = row("tickets", ServerOrigin::RunTime, State::Active, "d");
            let rows = [StoredServer { spec: spec.into(), ..row }];
            let served = serves(&Settings::default(), &rows);
            assert!(served.servers.is_empty() && served.withheld.len() == 1, "{spec}");
        }
        // Nothing is served before the store has been read.
        let life = Life::new(true);
        assert!(life.work_out(&settings(Lifecycle::Trusted)).servers.is_empty());
        life.take(Vec::new());
        assert_eq!(life.work_out(&settings(Lifecycle::Trusted)).servers.len(), 1);
        assert_eq!(Life::new(false).work_out(&settings(Lifecycle::Trusted)).servers.len(), 1);
    }
}
