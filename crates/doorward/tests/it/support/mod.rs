//! Starts the real binary and talks to it over real sockets.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

pub mod client;
pub mod door;
pub mod hostile;
pub mod issuer;
pub mod leaky;
pub mod login;
pub mod registry;
pub mod services;

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub const PATIENCE: Duration = Duration::from_secs(20);
/// Anything that is not blocked takes less, even on a busy machine; anything that is blocked takes longer.
pub const PROMPT: Duration = Duration::from_secs(5);

/// The binary under test.
pub fn doorward() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_doorward"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("DOORWARD_")) {
        command.env_remove(name);
    }
    // Do not use the data of the user who runs the tests.
    command.env("XDG_DATA_HOME", env!("CARGO_TARGET_TMPDIR"));
    command
}

/// Runs a command on a store; it must succeed.
pub fn told(store: &str, arguments: &[&str]) -> String {
    let output = doorward().args(arguments).env("DOORWARD_STORE", store).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {error}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// A temporary folder, in memory if there is enough of it, so that a slow disk does not disturb every test. A
/// separate test covers slow disks.
pub fn folder() -> tempfile::TempDir {
    const ENOUGH: u64 = 2 << 30;
    let memory = std::path::Path::new("/dev/shm");
    let free = nix::sys::statvfs::statvfs(memory)
        .map_or(0, |disk| disk.blocks_available() * disk.fragment_size());
    match free > ENOUGH {
        true => tempfile::tempdir_in(memory).or_else(|_| tempfile::tempdir()).unwrap(),
        false => tempfile::tempdir().unwrap(),
    }
}

/// The URL of the store in a gateway's folder.
pub fn store_in(folder: &std::path::Path) -> String {
    format!("sqlite:{}", folder.join("doorward.db").display())
}

/// The path of a certificate or key for tests.
pub fn made(file: &str) -> PathBuf {
    std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/tls").join(file)
}

/// A running gateway with its own configuration, stopped when dropped.
pub struct Gateway {
    child: Child,
    pub folder: tempfile::TempDir,
    pub config: PathBuf,
    /// `127.0.0.1:port`.
    pub address: String,
    pub admin: String,
    log: Arc<Mutex<Vec<String>>>,
}

impl Gateway {
    /// Starts a gateway and waits until it has probed its servers.
    pub fn start(config: &str) -> Self {
        let gateway = Self::start_unready(config);
        wait_for("the gateway is ready", || gateway.get_admin("/readyz").0 == 200);
        gateway
    }

    pub fn start_unready(config: &str) -> Self {
        Self::start_in(config, &[])
    }

    /// With environment variables.
    pub fn start_in(config: &str, environment: &[(&str, &str)]) -> Self {
        Self::begin(config, environment, "127.0.0.1:0")
    }

    /// At a fixed address.
    pub fn start_listening(config: &str, address: &str) -> Self {
        Self::begin(config, &[], address)
    }

    /// With copies of files beside its configuration.
    pub fn start_with(config: &str, files: &[(&str, &std::path::Path)]) -> Self {
        let folder = folder();
        for (name, file) in files {
            std::fs::copy(file, folder.path().join(name)).unwrap();
        }
        let gateway = Self::begin_in(folder, config, &[], "127.0.0.1:0");
        wait_for("the gateway is ready", || gateway.get_admin("/readyz").0 == 200);
        gateway
    }

    fn begin(config: &str, environment: &[(&str, &str)], address: &str) -> Self {
        Self::begin_in(folder(), config, environment, address)
    }

    fn begin_in(
        folder: tempfile::TempDir,
        config: &str,
        environment: &[(&str, &str)],
        address: &str,
    ) -> Self {
        let file = folder.path().join("doorward.yaml");
        std::fs::write(&file, config).unwrap();
        // A policy for tests that name it: every authenticated caller may use everything.
        let open = "permit (principal, action in Action::\"use\", resource);";
        std::fs::write(folder.path().join("open.cedar"), open).unwrap();
        let own = store_in(folder.path());
        let named = config.lines().find_map(|line| line.strip_prefix("store: "));
        let mut child = doorward()
            .args(["serve", "--listen", address, "--admin", "127.0.0.1:0", "--log", "debug"])
            .args(["--log-format", "json", "--config"])
            .arg(&file)
            .env("DOORWARD_STORE", named.unwrap_or(&own))
            .envs(environment.iter().copied())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let stderr = child.stderr.take().unwrap();
        let log = Arc::new(Mutex::new(Vec::new()));
        let lines = log.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let ready = || {
            let lines = log.lock().unwrap();
            lines.iter().find(|line| line.contains("\"message\":\"ready\"")).cloned()
        };
        wait_for("the gateway listens", || ready().is_some());
        let said: serde_json::Value = serde_json::from_str(&ready().unwrap()).unwrap();
        let address = said["listen"].as_str().unwrap().to_owned();
        let admin = said["admin"].as_str().unwrap();
        let admin = admin.trim_start_matches("Some(").trim_end_matches(')').to_owned();
        Self { child, folder, config: file, address, admin, log }
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.pid()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }

    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < end, "the gateway did not end");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends one request to the admin listener, on a separate connection.
    pub fn get_admin(&self, path: &str) -> (u16, String) {
        client::get(&self.admin, path)
    }

    /// Sends a request to the admin API with a key. Returns the status and the JSON of the response.
    pub fn administer(
        &self,
        key: &str,
        method: &str,
        path: &str,
        body: &serde_json::Value,
    ) -> (u16, serde_json::Value) {
        let bearer = format!("Bearer {key}");
        let headers = [client::JSON[0], ("authorization", bearer.as_str())];
        let body = body.to_string();
        let answer = client::send(&self.admin, method, path, &headers, body.as_bytes()).unwrap();
        (answer.status, serde_json::from_str(&answer.body).unwrap_or_default())
    }

    /// Opens the event stream of the admin API. The returned function waits for the next line with the given text.
    pub fn events(&self, key: &str) -> impl FnMut(&str) -> String + use<> {
        let mut stream = client::connect(&self.admin);
        write!(
            stream,
            "GET /admin/v1/events HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {key}\r\n\r\n"
        )
        .unwrap();
        let mut lines = BufReader::new(stream).lines();
        move |wanted| lines.by_ref().map(Result::unwrap).find(|line| line.contains(wanted)).unwrap()
    }

    /// Runs a command on the gateway's own store.
    pub fn run(&self, arguments: &[&str]) -> std::process::Output {
        let store = store_in(self.folder.path());
        doorward().args(arguments).env("DOORWARD_STORE", store).output().unwrap()
    }

    /// The same; returns its output.
    pub fn told(&self, arguments: &[&str]) -> String {
        told(&store_in(self.folder.path()), arguments)
    }

    /// Creates an API key and waits until the gateway knows it.
    pub fn key(&self, arguments: &[&str]) -> String {
        let key = self.told(&[&["keys", "create"], arguments].concat());
        let known = || {
            let bearer = format!("Bearer {key}");
            let asked =
                client::send(&self.address, "PUT", "/mcp", &[("authorization", &bearer)], b"");
            asked.is_ok_and(|answer| answer.status == 405)
        };
        wait_for("the key is known", known);
        key
    }

    /// The value of a metric, by its name without labels.
    pub fn metric(&self, name: &str) -> f64 {
        let (_, text) = self.get_admin("/metrics");
        let line = text.lines().find(|line| line.starts_with(&format!("{name} ")));
        line.and_then(|line| line.split(' ').nth(1)?.parse().ok()).unwrap_or(0.0)
    }

    pub fn states(&self) -> serde_json::Value {
        loop {
            let (status, text) = self.get_admin("/admin/v1/servers/status");
            // Frequent polling may be rate limited.
            if status != 429 {
                return serde_json::from_str::<serde_json::Value>(&text).unwrap()["items"].take();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub fn logged(&self, what: &str) -> bool {
        self.log.lock().unwrap().iter().any(|line| line.contains(what))
    }

    /// The number of open files, and resident memory in KiB.
    pub fn usage(&self) -> (usize, u64) {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.pid())).unwrap().count();
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        (files, resident.split_whitespace().next().unwrap().parse().unwrap())
    }

    /// Whether the gateway is idle: no call, listener, parked call or session is left.
    pub fn is_idle(&self) -> bool {
        ["doorward_client_sessions", "doorward_listeners", "doorward_parked_calls"]
            .iter()
            .all(|name| self.metric(name) == 0.0)
    }
}

impl Gateway {
    /// What each thread of the gateway does, as far as the system reports it.
    fn threads(&self) -> Vec<String> {
        let Ok(threads) = std::fs::read_dir(format!("/proc/{}/task", self.pid())) else {
            return Vec::new();
        };
        let told = threads.flatten().map(|thread| {
            let read =
                |file: &str| std::fs::read_to_string(thread.path().join(file)).unwrap_or_default();
            let status = read("status");
            let state = status.lines().find(|line| line.starts_with("State:")).unwrap_or_default();
            let (name, stack) = (read("comm"), read("stack"));
            let stack: Vec<&str> = stack.lines().take(4).collect();
            format!("{} {state}, in {}, {}", name.trim(), read("wchan"), stack.join(" "))
        });
        told.collect()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        // When a test has failed, print whether its gateway is waiting, and for what.
        let threads = if std::thread::panicking() { self.threads() } else { Vec::new() };
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for line in threads {
                eprintln!("gateway's thread: {line}");
            }
            for line in self.log().iter().rev().take(30).rev() {
                eprintln!("gateway: {line}");
            }
        }
    }
}

/// The path of the Python interpreter itself: the one in `PATH` may be a wrapper script.
pub fn python() -> String {
    let asking = ["-c", "import sys; print(sys.executable)"];
    let found = Command::new("python3").args(asking).output();
    String::from_utf8(found.unwrap().stdout).unwrap().trim().to_owned()
}

/// Waits for a condition, with a deadline.
pub fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < end, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}
