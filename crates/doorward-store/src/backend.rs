//! The database: opening it, and applying migrations.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::any::{AnyConnectOptions, AnyPoolOptions};
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{AnyConnection, AnyPool, ConnectOptions, Connection, Executor, Row};

use crate::audit::Actor;
use crate::terms::Terms;
use crate::{Error, Result, files};

static MIGRATIONS: Migrator = sqlx::migrate!();

/// Timeout for a connection from the pool, and for SQLite's lock.
const PATIENCE: Duration = Duration::from_secs(5);
/// Maximum PostgreSQL connections. SQLite uses two, since each is a thread with separate buffers.
const CONNECTIONS: u32 = 4;
const FILE_CONNECTIONS: u32 = 2;
/// Two processes that start together may both try to migrate the same file.
const ATTEMPTS: usize = 5;

/// A database: `sqlite:PATH` or `postgres://…`.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    Sqlite(PathBuf),
    /// The URL may contain a password and is never displayed.
    Postgres(String),
}

impl FromStr for Location {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        if let Some(path) = text.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            if path.is_empty() {
                return Err("'sqlite:' needs the path of a file".into());
            }
            return Ok(Self::Sqlite(path.into()));
        }
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            return Ok(Self::Postgres(text.into()));
        }
        Err("expected sqlite:PATH or postgres://USER@HOST/DATABASE".into())
    }
}

impl Location {
    /// The statement that begins a write transaction.
    pub(crate) fn begin(&self) -> &'static str {
        match self {
            // Otherwise two transactions that have both read fail when both try to write.
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(_) => "BEGIN",
        }
    }

    /// The default location of the key that signs the audit log: beside the SQLite file.
    pub fn audit_key_file(&self) -> Option<PathBuf> {
        let Self::Sqlite(path) = self else { return None };
        let mut name = path.clone().into_os_string();
        name.push(".audit-key");
        Some(name.into())
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => {
                let host = url.rsplit_once('@').map_or(url.as_str(), |(_, host)| host);
                write!(f, "postgres://{}", host.split('?').next().unwrap_or_default())
            }
        }
    }
}

impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a database cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{location}: {cause}")]
    Unreachable { location: Location, cause: String },
    #[error(
        "{location} was written by a newer doorward (it has migration {found}): \
         use that version, or restore a backup from before the upgrade"
    )]
    Newer { location: Location, found: i64 },
    #[error("{location} cannot be brought up to date: {cause}")]
    Migration { location: Location, cause: String },
}

/// An open database with all migrations applied.
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) pool: AnyPool,
    pub(crate) location: Location,
    options: Arc<AnyConnectOptions>,
    /// The actor that audit records name for changes through this handle.
    pub(crate) actor: Arc<Actor>,
    /// The conditions under which this handle makes changes.
    pub(crate) terms: Terms,
}

impl Store {
    /// Opens a database and applies migrations. A file that does not exist is created.
    pub async fn open(location: &Location) -> std::result::Result<Self, OpenError> {
        sqlx::any::install_default_drivers();
        let unreachable = |cause: &dyn fmt::Display| OpenError::Unreachable {
            location: location.clone(),
            cause: cause.to_string(),
        };
        let (url, is_sqlite) = match location {
            Location::Sqlite(path) => {
                prepare(path).map_err(|error| unreachable(&error))?;
                (sqlite_url(path), true)
            }
            Location::Postgres(url) => (url.clone(), false),
        };
        // Polling runs statements several times a second; logging them would drown out everything else.
        let options = AnyConnectOptions::from_str(&url)
            .map_err(|error| unreachable(&Plain(&error)))?
            .disable_statement_logging();
        // Connect once without the pool first: a pool retries until its timeout and then loses the reason.
        let first = async {
            let mut connection = AnyConnection::connect_with(&options).await?;
            settle(&mut connection, is_sqlite).await?;
            connection.close().await
        };
        match tokio::time::timeout(PATIENCE, first).await {
            Ok(connected) => connected.map_err(|error| unreachable(&Plain(&error)))?,
            Err(_) => return Err(unreachable(&"no answer within 5 s")),
        }
        let pool = AnyPoolOptions::new()
            .max_connections(if is_sqlite { FILE_CONNECTIONS } else { CONNECTIONS })
            .min_connections(0)
            .acquire_timeout(PATIENCE)
            .idle_timeout(Duration::from_secs(60))
            .after_connect(move |connection, _| Box::pin(settle(connection, is_sqlite)))
            // A connection whose transaction can be neither committed nor rolled back (bad disk) is discarded.
            .before_acquire(|connection, _| {
                let is_usable = !connection.is_in_transaction();
                Box::pin(async move { Ok(is_usable) })
            })
            .connect_with(options.clone())
            .await
            .map_err(|error| unreachable(&Plain(&error)))?;
        let (options, actor) = (Arc::new(options), Arc::new(Actor::gateway()));
        let store =
            Self { pool, location: location.clone(), options, actor, terms: Terms::default() };
        store.bring_up_to_date().await?;
        Ok(store)
    }

    async fn bring_up_to_date(&self) -> std::result::Result<(), OpenError> {
        let mut attempt = 1;
        loop {
            let location = self.location.clone();
            match MIGRATIONS.run(&self.pool).await {
                Ok(()) => return Ok(()),
                Err(MigrateError::VersionMissing(found)) => {
                    return Err(OpenError::Newer { location, found });
                }
                Err(error) if attempt == ATTEMPTS => {
                    return Err(OpenError::Migration { location, cause: error.to_string() });
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100 * attempt as u64)).await,
            }
            attempt += 1;
        }
    }

    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Returns the store's revision, which counts all changes.
    pub async fn revision(&self) -> Result<i64> {
        let row = sqlx::query("SELECT n FROM revision").fetch_one(&self.pool).await?;
        Ok(row.try_get(0)?)
    }

    /// Returns a handle whose changes are audited under this actor.
    pub fn acting(&self, actor: Actor) -> Self {
        Self { actor: Arc::new(actor), ..self.clone() }
    }

    /// The actor that audit records name for changes.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Opens a connection outside the pool.
    pub(crate) async fn connect_apart(&self) -> Result<AnyConnection> {
        let mut connection = AnyConnection::connect_with(&self.options).await?;
        let is_sqlite = matches!(self.location, Location::Sqlite(_));
        settle(&mut connection, is_sqlite).await?;
        if is_sqlite {
            // Large checkpoints of the write-ahead log suit frequent writers.
            connection.execute("PRAGMA wal_autocheckpoint = 4000;").await?;
        }
        Ok(connection)
    }

    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// Statements that each connection runs first.
async fn settle(connection: &mut AnyConnection, is_sqlite: bool) -> sqlx::Result<()> {
    if is_sqlite {
        let pragmas = "PRAGMA busy_timeout = 5000; PRAGMA journal_mode = WAL; \
                       PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA cache_size = -256;";
        connection.execute(pragmas).await?;
    }
    Ok(())
}

/// Removes the URL from a database's error, since some errors repeat it.
struct Plain<'a>(&'a sqlx::Error);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            sqlx::Error::Configuration(_) => f.write_str("the URL cannot be read"),
            sqlx::Error::PoolTimedOut => f.write_str("no answer within 5 s"),
            error => error.fmt(f),
        }
    }
}

/// Only the owner can read the file, from its first byte on.
fn prepare(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    files::append(path)?;
    // SQLite's companion files: copying the folder may have widened their permissions.
    for behind in ["-wal", "-shm"] {
        let mut name = path.as_os_str().to_owned();
        name.push(behind);
        files::keep_private(Path::new(&name))?;
    }
    Ok(())
}

fn sqlite_url(path: &Path) -> String {
    let mut url = String::from("sqlite://");
    for byte in path.as_os_str().as_encoded_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' | b'~' => url.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => url.push(char::from(*byte)),
            byte => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

impl Error {
    pub(crate) fn absent(what: &'static str, name: &str) -> Self {
        Self::Absent { what, name: name.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_never_shows_its_password() {
        let location: Location =
            "postgres://me:hunter2@db.example/doorward?x=hunter2".parse().unwrap();
        assert_eq!(format!("{location:?}"), "postgres://db.example/doorward");
        assert!("mysql://a".parse::<Location>().is_err());
        assert!("sqlite:".parse::<Location>().is_err());
    }
}
