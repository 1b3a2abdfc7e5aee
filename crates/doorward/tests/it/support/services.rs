//! Other services, one instance per test, from Debian's packages.

use std::io::Read;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::wait_for;

/// A free port, for programs that cannot choose one themselves.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// The next request on a connection: its path and body.
pub fn request(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1)?.to_owned();
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some((path, body))
}

pub fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// A program that runs until it is dropped.
pub struct Service {
    child: Child,
}

impl Service {
    pub fn start(command: &mut Command, port: u16) -> Self {
        let child =
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let program = command.get_program().to_owned();
        let child = child.unwrap_or_else(|error| panic!("{program:?}: {error}; see tests/run"));
        let service = Self { child };
        wait_for("the service listens", || listens(port));
        service
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(i32::try_from(self.child.id()).unwrap());
        nix::sys::signal::kill(pid, signal).unwrap();
    }
}

impl Service {
    /// Sends a signal to its child processes, so that they stop or continue with it.
    pub fn signal_children(&self, signal: nix::sys::signal::Signal) {
        let flag = format!("-{}", signal.as_str());
        let _ = Command::new("pkill").args([&flag, "-P", &self.child.id().to_string()]).status();
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A Redis server without persistence, on a port.
pub fn redis(port: u16) -> Service {
    let port_text = port.to_string();
    let mut command = Command::new("redis-server");
    command.args(["--port", &port_text, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    Service::start(&mut command, port)
}

pub fn postgres_programs() -> std::path::PathBuf {
    let programs = std::fs::read_dir("/usr/lib/postgresql").unwrap().flatten();
    programs.map(|version| version.path().join("bin")).max().unwrap()
}

/// A PostgreSQL server in a folder. Also returns the URL of its database.
pub fn postgres(folder: &Path) -> (Service, String) {
    let programs = postgres_programs();
    let data = folder.join("data");
    // PostgreSQL refuses to run as root.
    let is_root = nix::unistd::getuid().is_root();
    let as_user = |program: &str| {
        let path = programs.join(program);
        if !is_root {
            return Command::new(path);
        }
        let mut command = Command::new("setpriv");
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(path);
        command
    };
    if is_root {
        let given = Command::new("chown").arg("postgres").arg(folder).status().unwrap();
        assert!(given.success());
    }
    let mut init = as_user("initdb");
    init.args(["-A", "trust", "-U", "doorward", "--no-sync", "-D"]).arg(&data);
    let made = init.stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(made.unwrap().success());
    let port = free_port();
    let mut command = as_user("postgres");
    command.arg("-D").arg(&data).args([
        "-c",
        "listen_addresses=127.0.0.1",
        "-p",
        &port.to_string(),
    ]);
    command.args(["-k", folder.to_str().unwrap()]);
    let service = Service::start(&mut command, port);
    let url = format!("postgres://doorward@127.0.0.1:{port}/postgres");
    wait_for("the database answers", || {
        let asked = Command::new(programs.join("pg_isready"))
            .args(["-h", "127.0.0.1", "-p", &port.to_string()])
            .output();
        asked.unwrap().status.success()
    });
    (service, url)
}
