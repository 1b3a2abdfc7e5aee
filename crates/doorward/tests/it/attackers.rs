//! Attacks of a confined program on the machine, other than reading and writing files: none succeeds, whether it runs
//! as a separate user or as the gateway's, with namespaces or without.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use crate::support::client::Modern;
use crate::support::{Gateway, python, wait_for};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

const NOBODY: u32 = 65_534;

/// Makes the given attempts (`[[name, argument...], ...]`) and prints the outcome of each.
const ATTEMPTS: &str = r#"
import ctypes, json, os, resource, signal, socket, stat, struct, sys

libc = ctypes.CDLL(None, use_errno=True)

def syscall(number, *arguments):
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) if isinstance(a, int) else a for a in arguments])
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result

def limit(pid):
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (0, 0))

def nice(pid):
    os.setpriority(os.PRIO_PROCESS, pid, 7)

def nice_all(_):
    os.setpriority(os.PRIO_USER, 0, 7)

def affinity(pid):
    os.sched_setaffinity(pid, {0})

def scheduler(pid):
    os.sched_setscheduler(pid, os.SCHED_BATCH, os.sched_param(0))

def io_priority(pid):
    syscall({"x86_64": 251, "aarch64": 30}[os.uname().machine], 1, pid, 3 << 13)

def kill(pid):
    os.kill(pid, signal.SIGKILL)

def chmod(path):
    os.chmod(path, 0o666)

def fchmod(path):
    os.fchmod(os.open(path, os.O_RDONLY), 0o666)

def utime(path):
    os.utime(path, (1, 1))

def chown(path):
    os.chown(path, os.getuid(), os.getgid())

def setxattr(path):
    os.setxattr(path, "user.own", b"x")

def watch(path):
    syscall({"x86_64": 254, "aarch64": 27}[os.uname().machine], libc.inotify_init(), ctypes.c_char_p(path.encode()), 0x100)

def block(path):
    os.mknod(path, stat.S_IFBLK | 0o600, os.makedev(254, 0))

def character(path):
    os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 1))

def whiteout(path):
    os.mknod(path, stat.S_IFCHR | 0o600, 0)

def borrowed(path):
    old = os.umask(0)
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o4755))

def borrow(path):
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o755))
    os.chmod(path, 0o4755)

def capabilities(is_bounded):
    for line in open("/proc/self/status"):
        name, _, value = line.partition(":")
        if name == "CapBnd" and is_bounded:
            continue
        if name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb") and int(value, 16):
            return line
        if name == "NoNewPrivs" and value.strip() != "1":
            return line
    raise PermissionError("none")

def root(_):
    if os.getuid() and os.geteuid():
        raise PermissionError("not root")

def datagram(path):
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendto(b"x", path)

def number(number, *arguments):
    syscall(number, *arguments)

def own(path):
    "What a program may: its own limits, files and modes."
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    os.setpriority(os.PRIO_PROCESS, 0, os.getpriority(os.PRIO_PROCESS, 0) + 1)
    os.sched_setaffinity(0, os.sched_getaffinity(0))
    os.mkfifo(path + ".fifo")
    with open(path, "w") as file:
        file.write("x")
    one, other = socket.socketpair()
    one.send(b"x")

def own_modes(path):
    with open(path, "w") as file:
        os.fchmod(file.fileno(), 0o640)
    os.chmod(path, 0o600)
    os.utime(path, (5, 5))

said = []
for name, *arguments in json.loads(sys.argv[1]):
    try:
        said.append(["done", str(globals()[name](*arguments))])
    except BaseException as problem:
        said.append(["failed", f"{type(problem).__name__}: {problem}"])
print(json.dumps(said))
"#;

/// A Python interpreter that every user can run, and its folders outside the system's.
fn interpreter() -> (String, Vec<String>) {
    if Path::new("/usr/bin/python3").exists() {
        return ("/usr/bin/python3".into(), Vec::new());
    }
    let python = python();
    let prefix = Path::new(&python).parent().and_then(Path::parent).unwrap().display().to_string();
    (python, vec![prefix])
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// The user that a program runs as.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Way {
    /// Started by root, as a separate user.
    Root,
    /// Started by root, as root.
    AsRoot,
    /// Started by an unprivileged user, as that user.
    Own,
}

struct Scene {
    folder: tempfile::TempDir,
    victim: Child,
    binary: PathBuf,
}

impl Drop for Scene {
    fn drop(&mut self) {
        let _ = self.victim.kill();
        let _ = self.victim.wait();
    }
}

fn as_user(command: &mut Command, way: Way) {
    if way == Way::Own && is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
}

impl Scene {
    /// Starts a process and creates files as the same user that the program runs as.
    fn new(way: Way) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        for name in ["out", "store"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        for (name, text) in [("program.py", ATTEMPTS), ("readable", "x"), ("store/db", "SECRET")] {
            std::fs::write(at(name), text).unwrap();
            std::fs::set_permissions(at(name), PermissionsExt::from_mode(0o600)).unwrap();
        }
        if is_root() && way != Way::AsRoot {
            for name in ["out", "store", "program.py", "readable", "store/db"] {
                std::os::unix::fs::chown(at(name), Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let binary = at("doorward");
        // `cp` copies it, since a file that this process has open for writing could not be executed.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_doorward")).arg(&binary).status();
        assert!(copied.unwrap().success());
        let mut victim = Command::new("sleep");
        if is_root() && way != Way::AsRoot {
            victim.uid(NOBODY).gid(NOBODY);
        }
        let victim = victim.arg("600").spawn().unwrap();
        Self { folder, victim, binary }
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn run(&self, way: Way, more: Value, attempts: &Value) -> Output {
        let (python, mut read) = interpreter();
        read.extend([self.at("program.py"), self.at("readable")]);
        let mut allowed = json!({ "read": read, "write": [self.at("out")] });
        match way {
            Way::Root if is_root() => allowed["user"] = "65534".into(),
            Way::AsRoot => allowed["user"] = "0".into(),
            _ => {}
        }
        for (name, value) in more.as_object().unwrap() {
            allowed[name] = value.clone();
        }
        let mut command = Command::new(&self.binary);
        as_user(&mut command, way);
        command
            .args(["confine", &allowed.to_string(), "--", &python, &self.at("program.py")])
            .arg(attempts.to_string())
            .current_dir("/")
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// The outcome of each attempt: whether it succeeded, and its output.
    fn tried(&self, way: Way, more: Value, attempts: Value) -> Vec<(bool, String)> {
        let output = self.run(way, more, &attempts);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        let said: Vec<(String, String)> = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|problem| panic!("{problem}: {output:?}: {error}"));
        said.into_iter().map(|(came, said)| (came == "done", said)).collect()
    }
}

/// Every way that can be tested on this machine, with namespaces and without.
fn ways() -> Vec<(Way, Value)> {
    let of = |way| [(way, json!({})), (way, json!({ "namespaces": "never" }))];
    let ways = if is_root() { vec![Way::Own, Way::Root, Way::AsRoot] } else { vec![Way::Own] };
    ways.into_iter().flat_map(of).collect()
}

/// System calls that no program needs, with arguments that do no harm if the call is allowed.
fn numbers() -> Vec<Value> {
    let mut calls = Vec::new();
    for (call, arguments) in [
        (libc::SYS_kexec_file_load, [-1, -1, 0, 0]),
        (libc::SYS_kexec_load, [0, 0, 0, 0]),
        (libc::SYS_quotactl_fd, [-1, 0, 0, 0]),
        // Returns the size of the kernel's log.
        (libc::SYS_syslog, [10, 0, 0, 0]),
        (libc::SYS_shmget, [0, 4096, 0o1600, 0]),
        (libc::SYS_msgget, [0, 0o1600, 0, 0]),
        (libc::SYS_semget, [0, 1, 0o1600, 0]),
        (libc::SYS_mq_unlink, [0, 0, 0, 0]),
        (libc::SYS_kcmp, [1, 1, 0, 0]),
        (libc::SYS_memfd_secret, [0, 0, 0, 0]),
        (libc::SYS_fanotify_init, [0, 0, 0, 0]),
        (libc::SYS_io_uring_setup, [1, 0, 0, 0]),
        (libc::SYS_bpf, [0, 0, 0, 0]),
        (libc::SYS_perf_event_open, [0, 0, 0, 0]),
        (libc::SYS_userfaultfd, [1, 0, 0, 0]),
        (libc::SYS_keyctl, [0, 0, 0, 0]),
        (libc::SYS_unshare, [0, 0, 0, 0]),
        (libc::SYS_process_madvise, [-1, 0, 0, 0]),
        (libc::SYS_move_pages, [0, 0, 0, 0]),
        (libc::SYS_sethostname, [0, 0, 0, 0]),
        (libc::SYS_clock_adjtime, [0, 0, 0, 0]),
        // A number that no kernel uses yet.
        (700, [0, 0, 0, 0]),
    ] {
        let mut one = vec![json!("number"), json!(call)];
        one.extend(arguments.iter().map(|argument| json!(argument)));
        calls.push(Value::from(one));
    }
    #[cfg(target_arch = "x86_64")]
    for call in [libc::SYS_ioperm, libc::SYS_iopl, libc::SYS_modify_ldt, libc::SYS_ustat] {
        calls.push(json!(["number", call, 0, 0, 0]));
    }
    calls
}

#[test]
fn others_processes_are_left_as_they_are() {
    for (way, more) in ways() {
        let mut scene = Scene::new(way);
        let pid = scene.victim.id();
        let names = ["nice", "affinity", "scheduler", "io_priority", "limit", "nice_all", "kill"];
        let attempts: Vec<Value> = names.iter().map(|name| json!([name, pid])).collect();
        for (name, (done, said)) in
            names.iter().zip(scene.tried(way, more.clone(), attempts.into()))
        {
            assert!(!done, "{way:?} {more} {name}: {said}");
        }
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
        let size = limits.lines().find(|line| line.starts_with("Max file size")).unwrap();
        assert!(!size.contains(" 0 "), "{way:?} {more}: {size}");
        assert!(scene.victim.try_wait().unwrap().is_none(), "{way:?} {more}");
    }
}

#[test]
fn modes_owners_and_times_of_what_it_may_not_write_stay() {
    for (way, more) in ways() {
        let scene = Scene::new(way);
        let (store, readable) = (scene.at("store/db"), scene.at("readable"));
        let mut attempts = Vec::new();
        for name in ["chmod", "utime", "chown", "setxattr", "fchmod"] {
            attempts.push(json!([name, store]));
            attempts.push(json!([name, readable]));
        }
        // With namespaces, too, the program does not learn the names in a folder that it cannot list.
        attempts.push(json!(["watch", scene.at("store")]));
        let said = scene.tried(way, more.clone(), attempts.clone().into());
        for (attempt, (done, said)) in attempts.iter().zip(said) {
            assert!(!done, "{way:?} {more} {attempt}: {said}");
        }
        for path in [store, readable] {
            let now = std::fs::metadata(&path).unwrap();
            assert_eq!(now.mode() & 0o7777, 0o600, "{way:?} {more} {path}");
            assert!(now.mtime() > 1_000, "{way:?} {more} {path}");
        }
    }
}

#[test]
fn nothing_is_left_of_privilege_and_no_device_is_made() {
    for (way, more) in ways() {
        let scene = Scene::new(way);
        let out = |name: &str| scene.at(&format!("out/{name}"));
        let mut attempts = vec![
            // A capability that only a privileged program could drop is useless without privileges.
            json!(["capabilities", way == Way::Own && !scene.has_spaces(way, &more)]),
            json!(["block", out("disk")]),
            json!(["character", out("memory")]),
            json!(["whiteout", out("whiteout")]),
            json!(["borrowed", out("borrowed")]),
            json!(["borrow", out("borrow")]),
        ];
        if way != Way::AsRoot {
            attempts.push(json!(["root", 0]));
        }
        let said = scene.tried(way, more.clone(), attempts.clone().into());
        for (attempt, (done, said)) in attempts.iter().zip(said) {
            assert!(!done, "{way:?} {more} {attempt}: {said}");
        }
        for entry in std::fs::read_dir(scene.at("out")).unwrap() {
            let entry = entry.unwrap();
            assert_eq!(entry.metadata().unwrap().mode() & 0o6000, 0, "{way:?} {more} {entry:?}");
        }
    }
}

#[test]
fn system_calls_that_no_program_needs_are_refused_by_each_of_their_numbers() {
    let mut attempts = numbers();
    if cfg!(target_arch = "x86_64") {
        // The same calls by their numbers in the 32-bit interface, including a harmless `getpid`.
        for call in [libc::SYS_getpid, libc::SYS_unshare, libc::SYS_kexec_load] {
            attempts.push(json!(["number", 0x4000_0000 | call, 0, 0, 0, 0]));
        }
    }
    for (way, more) in ways() {
        let scene = Scene::new(way);
        let said = scene.tried(way, more.clone(), attempts.clone().into());
        for (attempt, (done, said)) in attempts.iter().zip(said) {
            // The filter must have refused the call: only it returns these two errors.
            let refused = said.contains("Errno 1]") || said.contains("Errno 38]");
            assert!(!done && refused, "{way:?} {more} {attempt}: {said}");
            if attempt[1].as_i64().is_some_and(|number| number >= 0x4000_0000) {
                assert!(said.contains("Errno 1]"), "{way:?} {more} {attempt}: {said}");
            }
        }
    }
}

#[test]
fn no_local_socket_is_reached_through_a_pair_of_its_own() {
    for (way, more) in ways() {
        let scene = Scene::new(way);
        let path = scene.at("out/log");
        let _listening = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o777)).unwrap();
        for network in [false, true] {
            let mut more = more.clone();
            more["network"] = network.into();
            let said = scene.tried(way, more.clone(), json!([["datagram", path]]));
            assert!(!said[0].0, "{way:?} {more}: {said:?}");
        }
    }
}

#[test]
fn what_is_its_own_it_may_change() {
    for (way, more) in ways() {
        let scene = Scene::new(way);
        let said = scene.tried(way, more.clone(), json!([["own", scene.at("out/own")]]));
        assert!(said[0].0, "{way:?} {more}: {said:?}");
        if scene.has_spaces(way, &more) {
            let said =
                scene.tried(way, more.clone(), json!([["own_modes", scene.at("out/modes")]]));
            assert!(said[0].0, "{way:?} {more}: {said:?}");
        }
    }
}

impl Scene {
    /// Whether this machine allows namespaces, as the program reports.
    fn has_spaces(&self, way: Way, more: &Value) -> bool {
        let output = self.run(way, more.clone(), &json!([]));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("confined"), "{output:?}");
        !said.contains("not active: namespaces")
    }
}

#[test]
fn it_says_what_is_in_force_and_does_not_start_without_what_is_required() {
    for (way, more) in ways() {
        let scene = Scene::new(way);
        let output = scene.run(way, more.clone(), &json!([]));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        for word in ["confined", "Landlock", "seccomp"] {
            assert!(said.contains(word), "{way:?} {more}: {said}");
        }
        let never = more["namespaces"] == "never";
        assert!(!never || said.contains("not active: namespaces"), "{way:?} {more}: {said}");
    }
    // This machine allows no namespaces, so a program that requires them does not run.
    if is_root() {
        let scene = Scene::new(Way::Own);
        let (python, _) = interpreter();
        let none = format!(
            "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --reuid {NOBODY} --regid {NOBODY} --clear-groups \"$@\""
        );
        let run = |allowed: &str| {
            let mut command = Command::new("unshare");
            command.args([
                "-U",
                "--map-users=0,0,70000",
                "--map-groups=0,0,70000",
                "sh",
                "-c",
                &none,
                "sh",
            ]);
            command.arg(&scene.binary).args([
                "confine",
                allowed,
                "--",
                &python,
                "-c",
                "print('ran')",
            ]);
            command.output().unwrap()
        };
        let prefers = run(r#"{"namespaces": "prefer"}"#);
        let said = String::from_utf8_lossy(&prefers.stderr).into_owned();
        if said.contains("unshare:") || said.contains("sh:") {
            eprintln!("no user name space with a limit can be made here: {said}");
            return;
        }
        assert_eq!(prefers.stdout, b"ran\n", "{said}");
        assert!(said.contains("not active: namespaces"), "{said}");
        let requires = run(r#"{"namespaces": "require"}"#);
        let said = String::from_utf8_lossy(&requires.stderr).into_owned();
        assert!(requires.stdout.is_empty() && !requires.status.success(), "{requires:?}");
        assert!(said.contains("cannot start the sandbox") && said.contains("namespaces"), "{said}");
    }
}

#[test]
fn no_program_runs_as_root_where_nobody_said_so() {
    if !is_root() {
        return;
    }
    let scene = Scene::new(Way::AsRoot);
    let (python, _) = interpreter();
    let output = Command::new(&scene.binary)
        .args(["confine", "{}", "--", &python, "-c", "print('ran')"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
    assert!(said.contains("root") && said.contains("user"), "{said}");
    let config =
        format!("servers: {{py: {{command: {python}, args: [-c, 'pass'], confine: {{}}}}}}\n");
    let gateway = Gateway::start(&config);
    wait_for("it says why", || gateway.logged("the gateway runs as root"));
    assert_eq!(gateway.states()[0]["state"], "down");
}

/// A server that leaves a child in another process group and session, which writes to a file all the time.
const LEAVING: &str = r#"
import json, os, sys, time

def leave(path):
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in range(3):
                os.close(fd)
            for _ in range(6000):
                with open(path, "a") as file:
                    file.write("x")
                time.sleep(0.05)
        os._exit(0)
    os.wait()

for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    method, params = asked["method"], asked.get("params", {})
    answer = {"jsonrpc": "2.0", "id": asked["id"]}
    if method == "initialize":
        answer["result"] = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "py", "version": "1"}}
    elif method == "tools/list":
        answer["result"] = {"tools": [{"name": "leave", "inputSchema": {"type": "object"}}]}
    elif method == "tools/call":
        leave(params["arguments"]["path"])
        answer["result"] = {"content": [{"type": "text", "text": "left"}]}
    else:
        answer["error"] = {"code": -32601, "message": "no"}
    print(json.dumps(answer), flush=True)
time.sleep(600)
"#;

#[test]
fn a_child_that_went_away_ends_with_the_gateway_however_that_ends() {
    for spaces in ["prefer", "never"] {
        for signal in [Signal::SIGKILL, Signal::SIGTERM] {
            let folder = tempfile::tempdir().unwrap();
            let at = |name: &str| folder.path().join(name).display().to_string();
            std::fs::write(at("server.py"), LEAVING).unwrap();
            std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o777)).unwrap();
            let (python, read) = interpreter();
            let read: String = read.iter().map(|path| format!("'{path}', ")).collect();
            let user = if is_root() { ", user: '65534'" } else { "" };
            let path = folder.path().display();
            let config = format!(
                "servers:\n  py:\n    command: {python}\n    args: ['{path}/server.py']\n    confine: {{read: [{read}], write: ['{path}']{user}, \
                 namespaces: {spaces}}}\n"
            );
            let mut gateway = Gateway::start(&config);
            let client = Modern::new(&gateway, "/mcp/py");
            let answer = client.call("leave", json!({ "path": at("beat") }));
            assert_eq!(answer.text(), "left", "{}", answer.body);
            let length = || std::fs::metadata(at("beat")).map_or(0, |file| file.len());
            wait_for("the child writes", || length() > 2);
            gateway.signal(signal);
            gateway.wait();
            wait_for("the child is gone", || {
                let before = length();
                std::thread::sleep(std::time::Duration::from_millis(700));
                length() == before
            });
        }
    }
}

#[test]
fn a_limit_of_file_sizes_does_not_end_the_gateway() {
    let mut gateway = Gateway::start("servers: {}\n");
    let pid = nix::unistd::Pid::from_raw(i32::try_from(gateway.pid()).unwrap());
    for _ in 0..3 {
        nix::sys::signal::kill(pid, Signal::SIGXFSZ).unwrap();
    }
    let limited = Command::new("prlimit").args(["--pid", &pid.to_string(), "--fsize=0"]).status();
    if !limited.is_ok_and(|status| status.success()) {
        eprintln!("there is no 'prlimit' here");
    }
    let client = Modern::new(&gateway, "/mcp");
    for _ in 0..5 {
        let _ = client.call("nothing", json!({}));
    }
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert!(gateway.is_alive());
    assert_eq!(gateway.get_admin("/healthz").0, 200);
}

/// A real server in Node, identified by its first response.
#[test]
fn programs_of_node_and_python_run_confined_as_they_do_elsewhere() {
    let node = r#"
const { spawnSync, execFile } = require("child_process");
const { Worker } = require("worker_threads");
const fs = require("fs"), os = require("os"), zlib = require("zlib"), crypto = require("crypto");
const out = process.argv[2];
(async () => {
  const child = spawnSync(process.execPath, ["-e", "console.log(1 + 1)"], { encoding: "utf8" });
  if (child.stdout.trim() !== "2") throw new Error("child: " + JSON.stringify(child));
  await new Promise((done, failed) => new Worker("require('worker_threads').parentPort.postMessage(1)", { eval: true }).on("message", done).on("error", failed));
  const key = crypto.generateKeyPairSync("ed25519");
  await fs.promises.mkdir(out + "/a/b", { recursive: true });
  await fs.promises.writeFile(out + "/a/b/c", zlib.gzipSync("x".repeat(100000)));
  await fs.promises.rename(out + "/a/b/c", out + "/a/c");
  await fs.promises.rm(out + "/a", { recursive: true });
  const watching = new WebAssembly.Memory({ initial: 1, maximum: 10 });
  typeof fetch === "function" && await fetch("data:text/plain,hello").then((answer) => answer.text());
  if (os.totalmem() === 0) throw new Error("the machine is not seen");
  console.log("fine");
})().catch((problem) => { console.log(problem.stack); process.exit(1); });
"#;
    let python_program = r#"
import asyncio, concurrent.futures, hashlib, os, sqlite3, subprocess, sys, tempfile, threading, ssl, shutil
out = sys.argv[1]
async def main():
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", "print(1 + 1)", stdout=subprocess.PIPE)
    assert (await process.communicate())[0].strip() == b"2"
    await asyncio.to_thread(hashlib.sha256, b"x")
asyncio.run(main())
base = sqlite3.connect(out + "/base.db")
base.execute("pragma journal_mode=wal")
base.execute("create table a (b)")
base.execute("insert into a values (1)")
base.commit()
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    assert sum(pool.map(lambda n: n, range(100))) == 4950
with tempfile.TemporaryDirectory(dir=out) as folder:
    open(folder + "/x", "w").write("x")
ssl.create_default_context()
assert subprocess.run("echo a | tr a b; ls / > /dev/null; sh -c 'exit 3'", shell=True).returncode == 3
print("fine")
"#;
    let node_at = Command::new("sh").args(["-c", "command -v node"]).output().unwrap();
    let node_at = String::from_utf8(node_at.stdout).unwrap().trim().to_owned();
    let (python, read) = interpreter();
    for (way, more) in ways() {
        let scene = Scene::new(way);
        std::fs::write(scene.at("out/node.js"), node).unwrap();
        std::fs::write(scene.at("out/python.py"), python_program).unwrap();
        for (program, file) in
            [(node_at.as_str(), "out/node.js"), (python.as_str(), "out/python.py")]
        {
            if program.is_empty() {
                eprintln!("there is no node here");
                continue;
            }
            // WebAssembly reserves far more address space than it uses.
            let mut allowed =
                json!({ "read": read, "write": [scene.at("out")], "memory": "64GiB" });
            match way {
                Way::Root => allowed["user"] = "65534".into(),
                Way::AsRoot => allowed["user"] = "0".into(),
                Way::Own => {}
            }
            if let Some(spaces) = more.get("namespaces") {
                allowed["namespaces"] = spaces.clone();
            }
            let mut command = Command::new(&scene.binary);
            as_user(&mut command, way);
            let output = command
                .args([
                    "confine",
                    &allowed.to_string(),
                    "--",
                    program,
                    &scene.at(file),
                    &scene.at("out"),
                ])
                .current_dir("/")
                .stdin(Stdio::null())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(said.ends_with("fine\n"), "{way:?} {more} {program}: {said}{error}");
        }
    }
}
