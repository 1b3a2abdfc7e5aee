//! Packages as servers: from a test registry, over real sockets, to a tool call in a sandbox.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest::{SHA512, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::client::Modern;
use crate::support::{Gateway, doorward, wait_for};

/// A server with a dependency, as npm would publish it.
const SERVER: &str = r#"#!/usr/bin/env node
const { greet } = require('greeting');
const fs = require('fs');
const tools = {
  greet: (name) => greet(name),
  read: (path) => fs.readFileSync(path, 'utf8'),
  write: (path) => (fs.writeFileSync(path, 'x'), 'written'),
};
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const asked = JSON.parse(line);
  if (asked.id === undefined) return;
  const answer = { jsonrpc: '2.0', id: asked.id };
  if (asked.method === 'initialize') {
    answer.result = { protocolVersion: '2025-06-18', capabilities: { tools: {} }, serverInfo: { name: 'x', version: '1' } };
  } else if (asked.method === 'tools/list') {
    answer.result = { tools: Object.keys(tools).map((name) => ({ name, inputSchema: { type: 'object' } })) };
  } else if (asked.method === 'tools/call') {
    let text, isError = false;
    try { text = tools[asked.params.name](asked.params.arguments.a); } catch (error) { text = String(error); isError = true; }
    answer.result = { content: [{ type: 'text', text }], isError };
  } else {
    answer.error = { code: -32601, message: 'no' };
  }
  console.log(JSON.stringify(answer));
});
"#;

/// The responses of a registry, by path: status and body.
type Answers = HashMap<String, (u16, Vec<u8>)>;

/// A registry of npm packages that a test controls.
struct Registry {
    url: String,
    answers: Arc<Mutex<Answers>>,
    asked: Arc<Mutex<Vec<String>>>,
    key: EcdsaKeyPair,
}

impl Registry {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let answers = Arc::<Mutex<Answers>>::default();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let (known, seen) = (answers.clone(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (known, seen) = (known.clone(), seen.clone());
                std::thread::spawn(move || answer(stream, &known, &seen));
            }
        });
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let registry = Self { url, answers, asked, key };
        registry.publish_keys();
        let manifest = json!({"dependencies": {"greeting": "^1.0.0"}, "bin": {"greeter": "./index.js"},
            "scripts": {"postinstall": "touch /tmp/doorward-ran-a-script"}});
        registry.publish("greeter", "1.0.0", manifest, &[("index.js", SERVER)]);
        let greet = "exports.greet = (name) => `hello ${name}`;";
        registry.publish("greeting", "1.2.0", json!({"main": "index.js"}), &[("index.js", greet)]);
        registry
    }

    fn put(&self, path: &str, body: Vec<u8>) {
        self.answers.lock().unwrap().insert(path.to_owned(), (200, body));
    }

    fn publish_keys(&self) {
        let der: PublicKeyX509Der<'_> = self.key.public_key().as_der().unwrap();
        let key =
            json!({"keyid": "SHA256:test", "key": STANDARD.encode(der.as_ref()), "expires": null});
        self.put("/-/npm/v1/keys", json!({"keys": [key]}).to_string().into_bytes());
    }

    /// Publishes a package with a single, signed version.
    fn publish(&self, name: &str, version: &str, manifest: Value, files: &[(&str, &str)]) {
        let mut manifest = manifest;
        manifest["name"] = name.into();
        manifest["version"] = version.into();
        let text = manifest.to_string();
        let mut all = vec![("package.json", text.as_str())];
        all.extend(files);
        self.publish_archive(name, version, manifest, &archive(&all));
    }

    fn publish_archive(&self, name: &str, version: &str, mut manifest: Value, archive: &[u8]) {
        let integrity = format!("sha512-{}", STANDARD.encode(digest(&SHA512, archive)));
        let message = format!("{name}@{version}:{integrity}");
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        manifest["dist"] = json!({
            "tarball": format!("{}{name}/-/{name}-{version}.tgz", self.url),
            "integrity": integrity,
            "signatures": [{"keyid": "SHA256:test", "sig": STANDARD.encode(signature)}],
        });
        self.put(&format!("/{name}/-/{name}-{version}.tgz"), archive.to_vec());
        self.set_document(name, version, &manifest);
    }

    fn set_document(&self, name: &str, version: &str, manifest: &Value) {
        let document = json!({"name": name, "dist-tags": {"latest": version}, "versions": {version: manifest}});
        self.put(&format!("/{name}"), document.to_string().into_bytes());
    }

    /// Changes the registry's document about the only version of a package.
    fn change(&self, name: &str, version: &str, change: impl FnOnce(&mut Value)) {
        let mut document: Value =
            serde_json::from_slice(&self.answers.lock().unwrap()[&format!("/{name}")].1).unwrap();
        change(&mut document["versions"][version]);
        let manifest = document["versions"][version].take();
        self.set_document(name, version, &manifest);
    }

    fn requests(&self) -> usize {
        self.asked.lock().unwrap().len()
    }
}

fn answer(stream: TcpStream, known: &Mutex<Answers>, seen: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut first = String::new();
    reader.read_line(&mut first).unwrap();
    let mut line = String::new();
    while reader.read_line(&mut line).is_ok_and(|read| read > 2) {
        line.clear();
    }
    let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.lock().unwrap().push(path.clone());
    let (status, body) = known.lock().unwrap().get(&path).cloned().unwrap_or((404, Vec::new()));
    let head = format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let mut stream = stream;
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body));
}

/// Builds a gzipped tar archive by hand, which leaves unsafe names as they are.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut plain = Vec::new();
    for (name, content) in files {
        let mut header = [0_u8; 512];
        let name = format!("package/{name}");
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[100..107].copy_from_slice(b"0000644");
        header[124..135].copy_from_slice(format!("{:011o}", content.len()).as_bytes());
        header[148..156].fill(b' ');
        header[156] = b'0';
        header[257..262].copy_from_slice(b"ustar");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
        plain.extend(header);
        plain.extend(content.as_bytes());
        plain.resize(plain.len().next_multiple_of(512), 0);
    }
    plain.resize(plain.len() + 1024, 0);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(&plain).unwrap();
    packed.finish().unwrap()
}

/// A folder with a configuration, whose packages every user can read.
struct World {
    folder: tempfile::TempDir,
    registry: Registry,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let world = Self { folder, registry: Registry::start() };
        std::fs::write(world.config(), world.text()).unwrap();
        world
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("doorward.yaml")
    }

    fn text(&self) -> String {
        let packages = self.folder.path().join("packages");
        let user = if nix::unistd::Uid::effective().is_root() { "user: '65534'" } else { "" };
        format!(
            "packages: {{folder: '{}', npm: '{}'}}\nservers:\n  greeter:\n    package: {{npm: greeter, version: \
             1.0.0}}\n    confine: {{{user}}}\n",
            packages.display(),
            self.registry.url
        )
    }

    fn lock(&self, options: &[&str]) -> Output {
        let config = self.config();
        doorward().args(["servers", "lock", "--config"]).arg(config).args(options).output().unwrap()
    }

    fn locked(&self, options: &[&str]) -> String {
        let output = self.lock(options);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, options: &[&str]) -> String {
        let output = self.lock(options);
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stderr).unwrap()
    }

    fn lock_file(&self) -> PathBuf {
        self.folder.path().join("doorward.packages.lock")
    }

    /// Starts a gateway with this configuration and its lock file.
    fn serve(&self) -> Gateway {
        let lock = self.lock_file();
        Gateway::start_with(&self.text(), &[("doorward.packages.lock", &lock)])
    }

    fn file(&self, name: &str) -> PathBuf {
        let trees = std::fs::read_dir(self.folder.path().join("packages/trees")).unwrap();
        let mut trees = trees.map(|entry| entry.unwrap().path()).filter(|path| path.is_dir());
        trees.next().unwrap().join("node_modules").join(name)
    }
}

fn call(gateway: &Gateway, tool: &str, argument: &str) -> (String, bool) {
    let answer = Modern::new(gateway, "/mcp/greeter").call(tool, json!({"a": argument}));
    let failed = answer.result()["isError"] == true;
    (answer.text(), failed)
}

fn rewrite(path: &Path, content: &str) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o644)).unwrap();
    std::fs::write(path, content).unwrap();
}

#[test]
fn a_package_is_locked_run_in_a_sandbox_and_runs_offline_afterwards() {
    let world = World::new();
    let said = world.locked(&["--json"]);
    let rows: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(rows[0]["archives"], 2, "{said}");
    assert_eq!(rows[0]["signed"], 2, "{said}");
    assert!(said.contains("greeter@1.0.0 has install scripts, which are not run"), "{said}");
    let text = std::fs::read_to_string(world.lock_file()).unwrap();
    let requests = world.registry.requests();
    // From here on, the registry has no packages.
    world.registry.answers.lock().unwrap().clear();
    let gateway = world.serve();
    assert_eq!(call(&gateway, "greet", "Ada"), ("hello Ada".into(), false));
    let config = gateway.config.display().to_string();
    assert!(call(&gateway, "read", &config).1);
    assert!(call(&gateway, "write", "/tmp/doorward-package-wrote").1);
    let own = world.file("greeting/index.js").display().to_string();
    assert!(call(&gateway, "read", &own).0.contains("exports.greet"));
    assert!(call(&gateway, "write", &own).1);
    assert!(!Path::new("/tmp/doorward-ran-a-script").exists());
    drop(gateway);
    let gateway = world.serve();
    assert_eq!(call(&gateway, "greet", "Bob").0, "hello Bob");
    assert!(world.locked(&[]).contains("unchanged"));
    assert!(world.locked(&["--check"]).contains("downloaded"));
    assert_eq!(world.registry.requests(), requests);
    assert_eq!(std::fs::read_to_string(world.lock_file()).unwrap(), text);
}

#[test]
fn what_is_not_locked_is_not_served() {
    let world = World::new();
    let serve = |listen: &str| {
        let config = world.config();
        doorward()
            .args(["serve", "--listen", listen, "--admin", "off", "--store", "none", "--config"])
            .arg(config)
            .output()
            .unwrap()
    };
    let output = serve("127.0.0.1:0");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{error}");
    assert!(error.contains("run 'doorward servers lock'"), "{error}");
    world.locked(&[]);
    std::fs::write(world.config(), world.text().replace("1.0.0", "1.0.1")).unwrap();
    let output = serve("127.0.0.1:0");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("'npm:greeter@1.0.1' is configured, but 'npm:greeter@1.0.0' is locked"),
        "{error}"
    );
    assert!(world.refused(&["--check"]).contains("is locked"));
}

#[test]
fn a_changed_byte_is_found_before_the_package_starts() {
    let world = World::new();
    world.locked(&[]);
    let file = world.file("greeting/index.js");
    rewrite(&file, "exports.greet = () => 'evil';");
    let gateway = world.serve();
    wait_for("it says why", || gateway.logged("greeting/index.js' has changed"));
    assert_eq!(gateway.states()[0]["state"], "down");
    assert!(world.refused(&["--check"]).contains("greeting/index.js' has changed"));
    drop(gateway);
    // The locked version is fetched again.
    std::fs::remove_dir_all(world.folder.path().join("packages")).unwrap();
    let gateway = world.serve();
    assert_eq!(call(&gateway, "greet", "Ada").0, "hello Ada");
    drop(gateway);
    // If the registry now serves other contents, the package is refused.
    std::fs::remove_dir_all(world.folder.path().join("packages")).unwrap();
    let evil = archive(&[
        ("package.json", r#"{"name": "greeting", "version": "1.2.0"}"#),
        ("index.js", ""),
    ]);
    world.registry.put("/greeting/-/greeting-1.2.0.tgz", evil);
    let gateway = world.serve();
    wait_for("it says why", || gateway.logged("its content has changed"));
}

#[test]
fn a_registry_that_changes_its_word_is_refused() {
    let world = World::new();
    world.locked(&[]);
    let before = std::fs::read_to_string(world.lock_file()).unwrap();
    let update = || world.refused(&["--update", "greeter"]);
    let whole = world.registry.answers.lock().unwrap().clone();
    let again = || *world.registry.answers.lock().unwrap() = whole.clone();

    // The same version with another archive, properly signed.
    world.registry.publish(
        "greeting",
        "1.2.0",
        json!({"main": "index.js"}),
        &[("index.js", "evil")],
    );
    let said = update();
    assert!(said.contains("another archive for this version"), "{said}");
    again();
    world.registry.change("greeting", "1.2.0", |release| release["dist"]["signatures"] = json!([]));
    let said = update();
    assert!(said.contains("greeting@1.2.0") && said.contains("has no signature"), "{said}");
    again();
    // A registry that no longer signs anything.
    world.registry.answers.lock().unwrap().remove("/-/npm/v1/keys");
    world.registry.change("greeting", "1.2.0", |release| release["dist"]["signatures"] = json!([]));
    let said = update();
    assert!(said.contains("has no signature"), "{said}");
    again();
    world.registry.change("greeting", "1.2.0", |release| {
        release["dist"]["signatures"][0]["sig"] = STANDARD.encode(b"forged").into();
    });
    let said = update();
    assert!(said.contains("signature is not valid"), "{said}");
    again();
    // An archive that does not match the registry's digest.
    world.registry.put("/greeting/-/greeting-1.2.0.tgz", archive(&[("x", "y")]));
    let said = update();
    assert!(said.contains("its content has changed"), "{said}");
    again();
    assert_eq!(std::fs::read_to_string(world.lock_file()).unwrap(), before);
    world.locked(&["--update", "greeter"]);
}

#[test]
fn hostile_archives_are_refused_when_they_are_locked() {
    let world = World::new();
    let manifest = r#"{"name": "greeting", "version": "1.2.0"}"#;
    let zeros = "\0".repeat(40 << 20);
    for (files, said) in [
        (vec![("package.json", manifest), ("../../../evil", "x")], "leads out of the package"),
        (vec![("package.json", manifest), ("a.js", ""), ("A.js", "")], "differ only in case"),
        (vec![("package.json", manifest), ("zeros", zeros.as_str())], "unpacks to more"),
        (
            vec![("package.json", r#"{"name": "other", "version": "1.2.0"}"#)],
            "package.json says other@1.2.0",
        ),
        (vec![("index.js", "")], "package.json"),
    ] {
        let release = json!({"name": "greeting", "version": "1.2.0"});
        world.registry.publish_archive("greeting", "1.2.0", release, &archive(&files));
        let refused = world.refused(&[]);
        assert!(refused.contains(said), "{said}: {refused}");
        assert!(!world.lock_file().exists());
        assert!(!world.folder.path().join("evil").exists());
    }
    let staging = world.folder.path().join("packages/staging");
    assert_eq!(std::fs::read_dir(staging).unwrap().count(), 0);
}

#[test]
fn a_bundle_is_run_from_a_file_with_the_users_values() {
    let world = World::new();
    let manifest = json!({"manifest_version": "0.3", "name": "greeter", "version": "1.0.0",
        "server": {"type": "node", "entry_point": "index.js", "mcp_config": {
            "command": "node", "args": ["${__dirname}/index.js", "${user_config.word}"]}},
        "user_config": {"word": {"type": "string", "required": true}}});
    let library = "exports.greet = (name) => `${process.argv[2]} ${name}`;";
    let server = SERVER.replace("require('greeting')", "require('./greeting')");
    let bundle = zip(&[
        ("manifest.json", manifest.to_string().as_str()),
        ("index.js", &server),
        ("greeting.js", library),
    ]);
    std::fs::write(world.folder.path().join("greeter.mcpb"), &bundle).unwrap();
    let hex: String = digest(&aws_lc_rs::digest::SHA256, &bundle)
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let place = world.folder.path().join("greeter.mcpb").display().to_string();
    let package = |more: &str| {
        let text = format!("{{mcpb: '{place}', version: 1.0.0, digest: 'sha256:{hex}'{more}}}");
        world.text().replace("{npm: greeter, version: 1.0.0}", &text)
    };
    std::fs::write(world.config(), package("")).unwrap();
    let said = world.refused(&[]);
    assert!(said.contains("'user_config.word' is required"), "{said}");
    let text = package(", user_config: {word: good morning}");
    std::fs::write(world.config(), &text).unwrap();
    world.locked(&[]);
    let gateway = Gateway::start_with(&text, &[("doorward.packages.lock", &world.lock_file())]);
    assert_eq!(call(&gateway, "greet", "Ada").0, "good morning Ada");
    drop(gateway);
    std::fs::write(&place, b"something else").unwrap();
    std::fs::remove_file(world.lock_file()).unwrap();
    assert!(world.refused(&[]).contains("its content has changed"));
}

/// Builds a zip archive without compression.
fn zip(files: &[(&str, &str)]) -> Vec<u8> {
    let (mut out, mut directory) = (Vec::new(), Vec::new());
    for (name, content) in files {
        let mut crc = flate2::Crc::new();
        crc.update(content.as_bytes());
        let mut common = Vec::new();
        common.extend([20, 0, 0, 0, 0, 0, 0, 0, 0x21, 0]);
        common.extend(crc.sum().to_le_bytes());
        let size = u32::try_from(content.len()).unwrap().to_le_bytes();
        common.extend(size);
        common.extend(size);
        common.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
        common.extend([0, 0]);
        let at = u32::try_from(out.len()).unwrap();
        out.extend(b"PK\x03\x04");
        out.extend(&common);
        out.extend(name.as_bytes());
        out.extend(content.as_bytes());
        directory.extend(b"PK\x01\x02\x14\x00");
        directory.extend(&common);
        directory.extend([0; 10]);
        directory.extend(at.to_le_bytes());
        directory.extend(name.as_bytes());
    }
    let (at, length) = (u32::try_from(out.len()).unwrap(), u32::try_from(directory.len()).unwrap());
    let count = u16::try_from(files.len()).unwrap().to_le_bytes();
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend(count);
    out.extend(count);
    out.extend(length.to_le_bytes());
    out.extend(at.to_le_bytes());
    out.extend([0, 0]);
    out
}

#[test]
fn an_image_is_run_by_the_engine_closed_off() {
    let world = World::new();
    // A container engine that has the image and runs the server instead of a container.
    let server = world.folder.path().join("server.js");
    let inline = SERVER.replace(
        "const { greet } = require('greeting');",
        "const greet = (name) => `hello ${name}`;",
    );
    std::fs::write(&server, inline).unwrap();
    let asked = world.folder.path().join("asked");
    let script = format!(
        "echo \"$@\" >> {}\\ncase $1 in run) exec node {};; esac\\n",
        asked.display(),
        server.display()
    );
    let engine = world.folder.path().join("engine");
    let made = std::process::Command::new("/bin/sh")
        .args(["-c", "printf \"#!/bin/sh\\n$1\" > \"$0\" && chmod 755 \"$0\""])
        .arg(&engine)
        .arg(&script)
        .status()
        .unwrap();
    assert!(made.success());
    let digest = "0".repeat(64);
    let text = format!(
        "packages: {{container: '{}'}}\nservers:\n  greeter:\n    package: {{oci: r.example/greeter, digest: 'sha256:{digest}'}}\n",
        engine.display()
    );
    std::fs::write(world.config(), &text).unwrap();
    world.locked(&[]);
    let gateway = Gateway::start_with(&text, &[("doorward.packages.lock", &world.lock_file())]);
    assert_eq!(call(&gateway, "greet", "Ada").0, "hello Ada");
    let asked = std::fs::read_to_string(asked).unwrap();
    let run = asked.lines().find(|line| line.starts_with("run ")).unwrap();
    for flag in ["--network=none", "--read-only", "--cap-drop=ALL", "--pull=never"] {
        assert!(run.contains(flag), "{run}");
    }
    assert!(run.ends_with(&format!("r.example/greeter@sha256:{digest}")), "{run}");
}
