//! Programs that attempt forbidden actions: each attempt fails, the gateway continues, and the audit log records it.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::support::client::Modern;
use crate::support::{Gateway, python, wait_for};
use serde_json::{Value, json};

/// A server that does what a call tells it and returns the outcome.
const PROGRAM: &str = r#"
import ctypes, json, mmap, os, resource, signal, socket, subprocess, sys, threading, time

def read(path):
    return open(path).read()

def write(path):
    with open(path, "w") as file:
        file.write("x")
    return "written"

def link(source, target):
    os.link(source, target)
    return "linked"

def connect(port):
    socket.create_connection(("127.0.0.1", port), timeout=2).close()
    return "connected"

def listen():
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    return "listening"

def local(path):
    socket.socket(socket.AF_UNIX).connect(path)
    return "connected"

def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout

def fork():
    children = []
    try:
        for _ in range(2000):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
        for child in children:
            os.waitpid(child, 0)
    return len(children)

def threads():
    done, all = threading.Event(), []
    try:
        for _ in range(2000):
            one = threading.Thread(target=done.wait)
            one.start()
            all.append(one)
    finally:
        done.set()
    return len(all)

def memory():
    return len(bytearray(4 << 30))

def big(path):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with open(path, "wb") as file:
        for _ in range(64):
            file.write(bytes(1 << 20))
            file.flush()
    return "written"

def files():
    return len([open("/dev/null") for _ in range(5000)])

def kill(pid):
    os.kill(pid, signal.SIGTERM)
    return "killed"

def trace(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, pid, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "ptrace")
    return "traced"

def space():
    os.unshare(os.CLONE_NEWUSER)
    return "unshared"

def spin():
    while True:
        pass

def many():
    children = []
    try:
        for _ in range(8):
            child = os.fork()
            if child == 0:
                kept = bytearray(64 << 20)
                signal.pause()
            children.append(child)
        dead, end = [], time.monotonic() + 20
        while not dead and time.monotonic() < end:
            time.sleep(0.1)
            dead = [child for child in children if os.waitpid(child, os.WNOHANG)[0]]
        children = [child for child in children if child not in dead]
        return len(dead)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)

def leave():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for fd in range(3):
                os.close(fd)
            time.sleep(600)
        os._exit(0)
    os.wait()
    return "left"

TOOLS = {f.__name__: f for f in (many, leave, read, write, link, connect, listen, local, run, fork, threads, memory, big, files, kill, trace, space, spin)}

for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    method, params = asked["method"], asked.get("params", {})
    answer = {"jsonrpc": "2.0", "id": asked["id"]}
    if method == "initialize":
        answer["result"] = {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}, "serverInfo": {"name": "py", "version": "1"}}
    elif method == "tools/list":
        answer["result"] = {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in TOOLS]}
    elif method == "tools/call":
        try:
            text, error = str(TOOLS[params["name"]](*params["arguments"].get("a", []))), False
        except BaseException as problem:
            text, error = f"{type(problem).__name__}: {problem}", True
        answer["result"] = {"content": [{"type": "text", "text": text}], "isError": error}
    else:
        answer["error"] = {"code": -32601, "message": "no"}
    print(json.dumps(answer), flush=True)
"#;

/// A Python interpreter that every user can run, and its folders outside the system's.
fn interpreter() -> (String, String) {
    if Path::new("/usr/bin/python3").exists() {
        return ("/usr/bin/python3".into(), String::new());
    }
    let python = python();
    let prefix = Path::new(&python).parent().and_then(Path::parent).unwrap().display().to_string();
    (python, format!("'{prefix}', "))
}

struct World {
    folder: tempfile::TempDir,
    gateway: Gateway,
}

/// Gives every user full access to a file or folder.
fn opened(path: &Path) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
}

impl World {
    fn start(more: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        opened(folder.path());
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("server.py"), PROGRAM).unwrap();
        std::fs::write(at("id_ed25519"), "PRIVATE KEY").unwrap();
        for name in ["data", "out"] {
            std::fs::create_dir(at(name)).unwrap();
            opened(&at(name));
        }
        std::fs::write(at("data/known"), "what it may know").unwrap();
        for name in ["server.py", "id_ed25519", "data/known"] {
            opened(&at(name));
        }
        // Per-user process limits do not apply to root, so run as another user.
        let is_root = nix::unistd::Uid::effective().is_root();
        let user = if is_root && !more.contains("user:") { ", user: '65534'" } else { "" };
        let path = folder.path().display();
        let (python, prefix) = interpreter();
        let config = format!(
            "servers:\n  py:\n    command: {python}\n    args: ['{path}/server.py']\n    confine: {{read: [{prefix}'{path}/server.py', '{path}/data'], \
             write: ['{path}/out']{user}{more}}}\n"
        );
        Self { gateway: Gateway::start(&config), folder }
    }

    fn at(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The text of a result, and whether it is an error.
    fn call(&self, tool: &str, arguments: Value) -> (String, bool) {
        let client = Modern::new(&self.gateway, "/mcp/py");
        let answer = client.call(tool, json!({ "a": arguments }));
        let result = answer.result();
        (answer.text(), result["isError"] == true)
    }

    fn fails(&self, tool: &str, arguments: Value) {
        let (said, is_error) = self.call(tool, arguments.clone());
        assert!(is_error, "{tool} {arguments}: {said}");
    }
}

#[test]
fn a_confined_program_reads_writes_and_reaches_what_was_named_and_nothing_else() {
    let world = World::start("");
    assert_eq!(world.call("read", json!([world.at("data/known")])).0, "what it may know");
    assert_eq!(world.call("write", json!([world.at("out/new")])), ("written".into(), false));
    assert_eq!(world.call("run", json!(["echo", "hello"])).0, "hello\n");
    let secret = world.at("id_ed25519");
    world.fails("read", json!([secret]));
    world.fails("read", json!([world.gateway.folder.path().join("doorward.yaml")]));
    world.fails("read", json!([format!("/proc/{}/environ", world.gateway.pid())]));
    world.fails("read", json!(["/etc/shadow"]));
    world.fails("write", json!([world.at("data/known")]));
    world.fails("write", json!([world.at("elsewhere")]));
    world.fails("write", json!(["/tmp/elsewhere"]));
    world.fails("link", json!([secret, world.at("out/link")]));
    world.fails("run", json!(["cat", secret]));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    world.fails("connect", json!([port]));
    world.fails("listen", json!([]));
    let socket = world.folder.path().join("out/socket");
    let _local = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    opened(&socket);
    world.fails("local", json!([socket]));
    world.fails("kill", json!([world.gateway.pid()]));
    world.fails("trace", json!([world.gateway.pid()]));
    world.fails("space", json!([]));
    assert!(!world.folder.path().join("elsewhere").exists());
    // Each attempt is recorded as an ordinary call.
    wait_for("all attempts are recorded", || {
        let records = world.gateway.told(&["audit", "search", "--json", "--limit", "100"]);
        records.matches("\"outcome\":\"tool_error\"").count() >= 15
    });
}

#[test]
fn a_confined_program_takes_no_more_than_it_may() {
    let limits = ", memory: 1GiB, processes: 40, files: 64, file_size: 8MiB";
    let world = World::start(limits);
    world.fails("fork", json!([]));
    world.fails("threads", json!([]));
    world.fails("memory", json!([]));
    world.fails("files", json!([]));
    world.fails("big", json!([world.at("out/big")]));
    let length = std::fs::metadata(world.at("out/big")).unwrap().len();
    assert!(length <= 8 << 20, "{length}");
    assert_eq!(world.call("read", json!([world.at("data/known")])).0, "what it may know");
}

#[test]
fn a_program_that_takes_all_of_the_processor_ends_and_says_so() {
    let world = World::start(", cpu: 2s");
    let client = Modern::new(&world.gateway, "/mcp/py");
    let ended = client.call("spin", json!({}));
    assert_eq!(ended.kind(), "stream_ended", "{}", ended.body);
    wait_for("its end is recorded", || {
        let events = world.gateway.told(&["audit", "search", "--json", "--class", "events"]);
        events.contains("server.program_ended") && events.contains("signal: ")
    });
}

#[test]
fn a_program_that_may_use_the_network_reaches_it_and_no_local_socket() {
    let world = World::start(", network: true");
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    assert_eq!(world.call("connect", json!([port])), ("connected".into(), false));
    let socket = world.folder.path().join("out/socket");
    let _local = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    opened(&socket);
    world.fails("local", json!([socket]));
    world.fails("read", json!([world.at("id_ed25519")]));
}

#[test]
fn files_that_were_left_open_for_a_confined_program_are_closed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    std::fs::write(at("secret"), "SECRET").unwrap();
    for namespaces in ["prefer", "never"] {
        let mut allowed = json!({ "namespaces": namespaces });
        if nix::unistd::Uid::effective().is_root() {
            allowed["user"] = "65534".into();
        }
        let script = "exec 8<\"$2\" 9>\"$3\"; exec \"$0\" confine \"$1\" -- /bin/sh -c 'echo x >&9; cat <&8'";
        let output = std::process::Command::new("/bin/sh")
            .args(["-c", script, env!("CARGO_BIN_EXE_doorward")])
            .args([&allowed.to_string(), &at("secret"), &at("written")])
            .current_dir("/")
            .stdin(std::process::Stdio::null())
            .output()
            .unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(error.contains("confined as user") && error.contains("8:"), "{error}");
        assert_eq!(output.stdout, b"", "{namespaces}");
        assert_eq!(std::fs::read(at("written")).unwrap(), b"", "{namespaces}");
    }
}

#[test]
fn what_cannot_be_confined_is_not_started() {
    let config = format!(
        "servers: {{py: {{command: {}, args: [-c, 'pass'], confine: {{read: [/there/is/no/such/path]}}}}}}\n",
        python()
    );
    let gateway = Gateway::start(&config);
    wait_for("it says why", || gateway.logged("cannot start the sandbox: /there/is/no/such/path"));
    assert_eq!(gateway.states()[0]["state"], "down");
}

/// The cgroup of a process, if this machine allows creating cgroups.
fn group_of(pid: u32, controller: &str) -> Option<std::path::PathBuf> {
    let own = std::fs::read_to_string("/proc/self/cgroup").unwrap();
    let path = own.lines().find_map(|line| line.split_once(&format!(":{controller}:")))?.1;
    let base = Path::new("/sys/fs/cgroup").join(controller).join(path.trim_start_matches('/'));
    let trial = base.join(format!("trial-{}-{pid}", std::process::id()));
    std::fs::create_dir(&trial).ok()?;
    std::fs::remove_dir(&trial).unwrap();
    Some(base.join(format!("doorward-{pid}")))
}

/// The process id of the confined program.
fn program_of(world: &World) -> u32 {
    let log = world.gateway.log();
    let line = log.iter().rev().find(|line| line.contains("started the server's program")).unwrap();
    let line: Value = serde_json::from_str(line).unwrap();
    let told = line["pid"].as_u64().unwrap_or_else(|| {
        let text = line["pid"].as_str().unwrap();
        text.trim_start_matches("Some(").trim_end_matches(')').parse().unwrap()
    });
    u32::try_from(told).unwrap()
}

#[test]
fn what_a_program_and_its_children_have_together_is_bounded_and_none_of_them_stays() {
    if group_of(0, "pids").is_none() || group_of(0, "memory").is_none() {
        let world = World::start("");
        assert_eq!(world.call("leave", json!([])).0, "left");
        eprintln!("no control groups of version 1 can be made here: nothing else to see");
        return;
    }
    // A cgroup also limits processes of root.
    let world = World::start(", user: '0', processes: 40, memory_in_all: 256MiB");
    let group = group_of(program_of(&world), "pids").unwrap();
    assert!(group.is_dir(), "{}", group.display());
    world.fails("fork", json!([]));
    let (dead, failed) = world.call("many", json!([]));
    // Eight times 64 MiB exceed the limit. The kernel may also choose to kill the program itself.
    assert!(failed || dead.parse::<u32>().unwrap() > 0, "{dead}");
    let pid = program_of(&world);
    assert_eq!(world.call("leave", json!([])).0, "left");
    let group = group_of(pid, "pids").unwrap();
    let left: Vec<u32> = std::fs::read_to_string(group.join("cgroup.procs"))
        .unwrap()
        .lines()
        .filter_map(|line| line.parse().ok())
        .collect();
    assert!(left.len() >= 2, "{left:?}");
    world.gateway.signal(nix::sys::signal::Signal::SIGTERM);
    wait_for("nothing is left", || {
        !group.exists() && left.iter().all(|pid| !Path::new(&format!("/proc/{pid}")).exists())
    });
}
