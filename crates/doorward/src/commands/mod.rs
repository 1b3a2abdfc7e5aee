//! The commands, one file each, and their errors.

pub mod apply;
pub mod approvals;
pub mod audit;
pub mod call;
pub mod catalog;
pub mod check;
pub mod clients;
pub mod credentials;
pub mod credits;
pub mod evidence;
pub mod export;
pub mod flow;
mod functions;
pub mod grants;
pub mod import;
pub mod keys;
pub mod limits;
mod moving;
pub mod openapi;
pub mod policy;
pub mod portals;
pub mod principals;
pub mod registries;
pub mod requests;
pub mod scan;
pub mod schema;
pub mod servers;
pub mod stop;
pub mod tools;
pub mod top;
pub mod usage;
pub mod webhooks;

use doorward_store::{Actor, Location, Store};

use crate::cli::Kept;
use crate::config::{self, Report};
use crate::terminal;

/// Exit codes, as documented in `doorward --help`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Failure = 1,
    Usage = 2,
    Config = 3,
    Unreachable = 4,
    Refused = 5,
    ToolError = 6,
}

/// Why a command failed: for people, and for scripts.
#[derive(Debug)]
pub struct Failed {
    pub exit: Exit,
    /// Empty if everything was already printed.
    pub message: String,
}

impl Failed {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Everything was already printed.
    pub fn silent(exit: Exit) -> Self {
        Self::new(exit, "")
    }

    /// Reports problems of a configuration.
    pub fn report(report: &Report) -> Self {
        eprint!("{}", report.render(terminal::error_color()));
        Self::silent(Exit::Config)
    }
}

impl From<doorward_store::Error> for Failed {
    fn from(error: doorward_store::Error) -> Self {
        Self::new(Exit::Failure, error.to_string())
    }
}

impl From<doorward_store::OpenError> for Failed {
    fn from(error: doorward_store::OpenError) -> Self {
        Self::new(Exit::Failure, error.to_string())
    }
}

/// The location of the store: from the command line, the configuration, or a file in the user's
/// data folder. `None` for no store.
pub fn location(said: Option<&str>) -> Result<Option<Location>, Failed> {
    match said {
        Some("none") => Ok(None),
        Some(text) => {
            let wrong = |why| Failed::new(Exit::Config, format!("store: {why}, or none"));
            text.parse().map(Some).map_err(wrong)
        }
        None => {
            let data = data_folder().ok_or_else(|| {
                let why = "there is no HOME for doorward.db; set the database with --store, or \
                    use no database with --store none";
                Failed::new(Exit::Config, why)
            })?;
            Ok(Some(Location::Sqlite(data.join("doorward.db"))))
        }
    }
}

/// The current user's data folder for doorward; `None` without `HOME`.
pub fn data_folder() -> Option<std::path::PathBuf> {
    let data = std::env::var_os("XDG_DATA_HOME").filter(|path| !path.is_empty());
    let data = data
        .map(std::path::PathBuf::from)
        .or_else(|| Some(std::path::PathBuf::from(std::env::var_os("HOME")?).join(".local/share")));
    Some(data?.join("doorward"))
}

/// Opens the database for a command that no gateway executes.
pub async fn open(kept: &Kept) -> Result<Store, Failed> {
    let mut said = kept.store.clone();
    if let (None, Some(path)) = (&said, &kept.config) {
        let loaded = config::load(path).map_err(|report| Failed::report(&report))?;
        said = loaded.settings.store.map(|store| store.expose().to_owned());
    }
    let location = location(said.as_deref())?;
    let none = || Failed::new(Exit::Usage, "there is no store: the configuration says 'none'");
    let store = Store::open(&location.ok_or_else(none)?).await?;
    Ok(store.acting(Actor { via: "machine", name: whoever(), address: None }))
}

/// The operating system's name of the current user.
fn whoever() -> String {
    let uid = nix::unistd::getuid();
    let user = nix::unistd::User::from_uid(uid).ok().flatten();
    user.map_or_else(|| format!("uid {uid}"), |user| user.name)
}

impl From<std::io::Error> for Failed {
    fn from(error: std::io::Error) -> Self {
        // The reader of the output has closed it, which is no error.
        let enough = error.kind() == std::io::ErrorKind::BrokenPipe;
        Self::new(Exit::Failure, if enough { String::new() } else { error.to_string() })
    }
}
