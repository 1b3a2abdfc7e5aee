//! The audit log when the result of a write is unknown: responses of the database are lost, and a gateway that is
//! alive is taken for dead.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::support::client::Modern;
use crate::support::services::postgres;
use crate::support::{Gateway, python, told, wait_for};
use serde_json::{Value, json};

const PRICED: &str = "policy: {files: [open.cedar]}\n\
                      billing: {prices: {all: {tools: 'sample/*', call: 1}}}\n";

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// A proxy in front of a database. Commits succeed, but their responses are lost together with the connection: the
/// next one, or every n-th one.
#[derive(Default)]
struct Forgetful {
    next: AtomicBool,
    /// Loses one response in this many; 0 loses none.
    every: AtomicUsize,
    commits: AtomicUsize,
    lost: AtomicUsize,
}

impl Forgetful {
    /// Also returns its port.
    fn before(port: u16) -> (Arc<Self>, u16) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let this = Arc::new(Self::default());
        let forgetful = this.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                let forgets = Arc::new(AtomicBool::new(false));
                let (from, to) = (client.try_clone().unwrap(), server.try_clone().unwrap());
                let (forgetful, soon) = (forgetful.clone(), forgets.clone());
                std::thread::spawn(move || {
                    pass(from, to, |message| {
                        if message.windows(7).any(|part| part == b"COMMIT\0") && forgetful.loses() {
                            soon.store(true, Ordering::SeqCst);
                        }
                        true
                    });
                });
                std::thread::spawn(move || {
                    pass(server, client, |_| !forgets.load(Ordering::SeqCst));
                });
            }
        });
        (this, own)
    }

    /// Whether the response to this commit is lost.
    fn loses(&self) -> bool {
        let every = self.every.load(Ordering::SeqCst);
        let turn = every > 0 && self.commits.fetch_add(1, Ordering::SeqCst).is_multiple_of(every);
        let loses = self.next.swap(false, Ordering::SeqCst) || turn;
        self.lost.fetch_add(usize::from(loses), Ordering::SeqCst);
        loses
    }

    fn lost(&self) -> usize {
        self.lost.load(Ordering::SeqCst)
    }
}

/// Forwards data until the connection ends or `passes` returns `false`.
fn pass(mut from: TcpStream, mut to: TcpStream, mut passes: impl FnMut(&[u8]) -> bool) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if !passes(&buffer[..count]) || to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}

#[test]
fn what_was_written_without_an_answer_is_written_once_and_the_record_goes_on() {
    let folder = crate::support::folder();
    let (_database, url) = postgres(folder.path());
    let port: u16 =
        url.rsplit(':').next().and_then(|rest| rest.split('/').next()).unwrap().parse().unwrap();
    let (forgetful, own) = Forgetful::before(port);
    let through = url.replace(&format!(":{port}/"), &format!(":{own}/"));
    let config = format!(
        "store: {through}\nstore_key: 0123456789abcdef0123456789abcdef\n\
         servers: {{sample: {{sample: true, tools: {{add: {{write: true}}}}}}}}\n{PRICED}\
         audit: {{write_timeout: 4s, checkpoints: {{records: 5, every: 1s}}}}\n"
    );
    let key = told(&url, &["keys", "create", "--user", "alice", "--in-tenant", "acme"]);
    told(&url, &["credits", "grant", "--tenant", "acme", "100000"]);
    let mut gateway = Gateway::start(&config);
    let (mut sent, mut answered) = (0, 0);
    let client = Modern::new(&gateway, "/mcp").bearing(&key);
    let mut add = || {
        let is_done = client.call("sample__add", json!({ "a": 1, "b": 1 })).status == 200;
        (sent, answered) = (sent + 1, answered + usize::from(is_done));
        is_done
    };
    // By then credit is held.
    (0..5).for_each(|_| _ = add());
    // One lost response refuses no call, unless it belongs to a commit about credit.
    let alone = (0..10).filter(|_| {
        let before = forgetful.lost();
        forgetful.next.store(true, Ordering::SeqCst);
        let is_done = add();
        wait_for("it is lost", || forgetful.lost() > before);
        is_done
    });
    assert!(alone.count() >= 8);
    forgetful.every.store(3, Ordering::SeqCst);
    // Longer than the interval of heartbeats, which write as well.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(8) {
        add();
    }
    forgetful.every.store(0, Ordering::SeqCst);
    wait_for("it is written again", || gateway.get_admin("/readyz").0 == 200);
    gateway.signal(nix::sys::signal::Signal::SIGTERM);
    gateway.wait();
    let records =
        lines(&told(&url, &["audit", "search", "--json", "--tool", "add", "--limit", "1000000"]));
    let ok = records.iter().filter(|record| record["outcome"] == "ok").count();
    let lost = forgetful.lost();
    println!("sent {sent}, answered {answered}, recorded {}, answers lost {lost}", records.len());
    assert!(lost > 10 && answered > 10, "{lost} answers lost, {answered} calls answered");
    assert_eq!((records.len(), ok), (sent, answered));
    let report: Value = serde_json::from_str(&told(
        &url,
        &["audit", "verify", "--json", "--config", gateway.config.to_str().unwrap()],
    ))
    .unwrap();
    assert_eq!(report["findings"], json!([]));
    // The gateway recovered without being declared dead: there is only its chain and the chain of acts.
    assert_eq!(report["chains"].as_object().unwrap().len(), 2, "{report}");
    let books: Value = serde_json::from_str(&told(&url, &["credits", "check", "--json"])).unwrap();
    assert_eq!(books["spent"], answered.to_string(), "{books}");
}

/// Another gateway that sees no heartbeat closes the open calls as `unknown` and charges them. Their actual outcome
/// is recorded later, and neither charged nor counted again.
#[test]
fn who_is_taken_for_dead_and_lives_says_later_how_its_calls_ended() {
    let config = format!("servers: {{sample: {{sample: true}}}}\n{PRICED}");
    let gateway = Gateway::start(&config);
    let store = crate::support::store_in(gateway.folder.path());
    let key = gateway.key(&["--user", "alice", "--in-tenant", "acme"]);
    gateway.told(&["credits", "grant", "--tenant", "acme", "100"]);
    let client = Modern::new(&gateway, "/mcp").bearing(&key);
    let books = || -> Value {
        serde_json::from_str(&gateway.told(&["credits", "check", "--json"])).unwrap()
    };
    wait_for("calls are charged", || {
        client.call("sample__echo", json!({ "text": "x" }));
        books()["spent"] != "0"
    });
    std::thread::sleep(Duration::from_millis(500));
    let paid: usize = books()["spent"].as_str().unwrap().parse().unwrap();
    std::thread::scope(|scope| {
        let slow = Modern::new(&gateway, "/mcp").bearing(&key);
        let call =
            scope.spawn(move || slow.call("sample__slow", json!({ "steps": 8, "pause_ms": 1000 })));
        wait_for("the call is open on disk", || {
            gateway.told(&["audit", "search", "--tool", "slow"]).contains("open")
        });
        // To another gateway this looks as if the process had ended and its process id had been reused.
        let script = "import json, sqlite3, sys\n\
                      db = sqlite3.connect(sys.argv[1], timeout=20)\n\
                      for id, place in db.execute(\"SELECT id, place FROM audit_writers WHERE ended IS NULL AND id <> 'acts'\").fetchall():\n\
                      \x20   place = json.dumps(json.loads(place) | {'began': 1})\n\
                      \x20   db.execute('UPDATE audit_writers SET place = ? WHERE id = ?', (place, id))\n\
                      db.commit()\n";
        let file = gateway.folder.path().join("doorward.db");
        assert!(Command::new(python()).args(["-c", script]).arg(file).status().unwrap().success());
        let heir = Gateway::start(&format!("store: {store}\n{config}"));
        wait_for("it is considered stopped", || heir.logged("a gateway stopped unexpectedly"));
        assert_eq!(call.join().unwrap().status, 200);
        wait_for("audit records continue", || gateway.logged("considered stopped"));
        // The gateway is in fact alive.
        assert_eq!(client.call("sample__add", json!({ "a": 1, "b": 1 })).text(), "2");
    });
    let slow = || lines(&gateway.told(&["audit", "search", "--json", "--tool", "slow"]));
    wait_for("how it ended is recorded", || slow().len() == 2);
    let records = slow();
    let of = |kind: &str| records.iter().find(|record| record["kind"] == kind).unwrap();
    assert_eq!((&of("call")["outcome"], &of("late")["outcome"]), (&json!("unknown"), &json!("ok")));
    assert_eq!(of("call")["id"], of("late")["id"]);
    assert!(gateway.told(&["audit", "search", "--tool", "slow"]).contains("late"));
    let usage = || -> Value {
        serde_json::from_str(&gateway.told(&["usage", "--by", "tool", "--format", "json"])).unwrap()
    };
    let counted = |tool: &str| {
        let usage = usage();
        let row = usage.as_array().unwrap().iter().find(|row| row["tool"] == tool);
        row.map(|row| row["calls"].clone())
    };
    wait_for("usage is counted", || counted("add") == Some(json!(1)));
    assert_eq!(counted("slow"), Some(json!(1)));
    assert_eq!(books()["spent"], (paid + 2).to_string(), "{}", books());
    assert!(gateway.told(&["audit", "verify"]).contains("the audit log is intact"));
}
