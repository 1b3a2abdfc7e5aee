//! Real databases: an SQLite file, and a PostgreSQL server for each test.
#![allow(clippy::unwrap_used)]

pub mod chain;

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use doorward_store::{Location, Store};
use sqlx::{AnyConnection, Connection};

/// One database, removed when dropped.
pub struct World {
    pub location: Location,
    /// Dropped before the folder, so that the server stops first.
    _server: Option<Arc<Postgres>>,
    _folder: Option<tempfile::TempDir>,
}

impl World {
    pub fn sqlite() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let location = Location::Sqlite(folder.path().join("in here").join("doorward?.db"));
        Self { location, _server: None, _folder: Some(folder) }
    }

    /// Returns `None` where PostgreSQL is neither installed nor required.
    pub fn postgres() -> Option<Self> {
        let Some(programs) = programs() else {
            let demanded = std::env::var_os("DOORWARD_TEST_POSTGRES").is_some();
            assert!(!demanded, "there is no PostgreSQL in PATH or /usr/lib/postgresql");
            eprintln!("not run: there is no PostgreSQL in PATH or /usr/lib/postgresql");
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        let server = Postgres::start(&programs, folder.path());
        let host = folder.path().display().to_string().replace('/', "%2F");
        let location = format!("postgres://doorward@{host}/postgres").parse().unwrap();
        Some(Self { location, _server: Some(Arc::new(server)), _folder: Some(folder) })
    }

    pub fn all() -> Vec<Self> {
        [Some(Self::sqlite()), Self::postgres()].into_iter().flatten().collect()
    }

    /// Another database of the same kind, which lives no longer than this one.
    pub async fn fresh(&self) -> Self {
        let Location::Postgres(url) = &self.location else { return Self::sqlite() };
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("fresh{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let mut connection = AnyConnection::connect(&self.url()).await.unwrap();
        let create = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::query(create).execute(&mut connection).await.unwrap();
        let location = url.replace("/postgres", &format!("/{name}")).parse().unwrap();
        Self { location, _server: self._server.clone(), _folder: None }
    }

    /// The URL with which other clients connect.
    pub fn url(&self) -> String {
        sqlx::any::install_default_drivers();
        match &self.location {
            Location::Sqlite(path) => format!(
                "sqlite://{}",
                path.display().to_string().replace('?', "%3F").replace(' ', "%20")
            ),
            Location::Postgres(url) => url.clone(),
        }
    }

    pub async fn open(&self) -> Store {
        Store::open(&self.location).await.unwrap()
    }
}

/// The folder of `initdb` and `postgres`.
fn programs() -> Option<PathBuf> {
    let has_both =
        |folder: &PathBuf| folder.join("initdb").is_file() && folder.join("postgres").is_file();
    let mut places: Vec<PathBuf> = std::env::split_paths(&std::env::var_os("PATH")?).collect();
    if let Ok(versions) = std::fs::read_dir("/usr/lib/postgresql") {
        places.extend(versions.flatten().map(|version| version.path().join("bin")));
    }
    places.into_iter().find(has_both)
}

struct Postgres(std::process::Child);

/// PostgreSQL does not run as root. Debian's package creates a user for it.
fn command(program: &Path) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(program);
    command
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().unwrap();
    id.stdout.trim_ascii() == b"0"
}

impl Postgres {
    fn start(programs: &Path, folder: &Path) -> Self {
        if is_root() {
            let owned = Command::new("chown").arg("postgres").arg(folder).status().unwrap();
            assert!(owned.success());
        }
        let data = folder.join("data");
        let made = command(&programs.join("initdb"))
            .args(["--auth=trust", "--username=doorward", "--no-sync", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success(), "initdb failed");
        let server = command(&programs.join("postgres"))
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-k"])
            .arg(folder)
            .arg("-D")
            .arg(&data)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self(server);
        let socket = folder.join(".s.PGSQL.5432");
        let end = Instant::now() + Duration::from_secs(30);
        while std::os::unix::net::UnixStream::connect(&socket).is_err() {
            assert!(Instant::now() < end, "PostgreSQL did not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
