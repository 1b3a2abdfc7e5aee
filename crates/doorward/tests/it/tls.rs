//! Clients that connect with TLS, and a certificate that is replaced while the gateway runs.
#![allow(clippy::unwrap_used, clippy::needless_pass_by_value)]

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use crate::support::client::Modern;
use crate::support::{Gateway, PATIENCE, doorward, made, wait_for};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::{Value, json};

type Tls = StreamOwned<ClientConnection, TcpStream>;

/// A folder with a certificate and its key, and a gateway that uses it.
struct World {
    gateway: Gateway,
    folder: tempfile::TempDir,
}

/// Replaces the certificate and key atomically.
fn put(folder: &Path, name: &str) {
    for kind in ["key", "pem"] {
        let new = folder.join(format!("new.{kind}"));
        std::fs::copy(made(&format!("{name}.{kind}")), &new).unwrap();
        std::fs::rename(new, folder.join(format!("server.{kind}"))).unwrap();
    }
}

impl World {
    fn new(more: &str) -> Self {
        let folder = crate::support::folder();
        put(folder.path(), "first");
        let at = folder.path().display();
        let gateway = Gateway::start(&format!(
            "tls: {{cert: {at}/server.pem, key: {at}/server.key}}\n{more}\nservers: {{sample: {{sample: true}}}}"
        ));
        Self { gateway, folder }
    }

    fn connect(&self) -> Tls {
        self.connect_as(None).unwrap()
    }

    /// Connects with a client certificate, if one is given: the name of a test certificate, or a path.
    fn connect_as(&self, client: Option<&str>) -> std::io::Result<Tls> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(made("ca.pem")).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match client {
            None => config.with_no_client_auth(),
            Some(name) => {
                let certificate = CertificateDer::from_pem_file(made(&format!("{name}.pem")));
                let key = PrivateKeyDer::from_pem_file(made(&format!("{name}.key")));
                config.with_client_auth_cert(vec![certificate.unwrap()], key.unwrap()).unwrap()
            }
        };
        let name = ServerName::try_from("localhost").unwrap();
        let client = ClientConnection::new(Arc::new(config), name).unwrap();
        let socket = TcpStream::connect(&self.gateway.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut tls = StreamOwned::new(client, socket);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(tls)
    }

    /// Whether new connections get this certificate.
    fn shows(&self, name: &str) -> bool {
        let expected = CertificateDer::from_pem_file(made(&format!("{name}.pem"))).unwrap();
        self.connect().conn.peer_certificates().unwrap()[0] == expected
    }

    fn send(&self, tls: &mut Tls, method: &str, params: Value) {
        let body = Modern::new(&self.gateway, "/mcp").body(method, params);
        let headers: String = Modern::headers(&body)
            .into_iter()
            .map(|(name, value)| format!("{name}: {value}\r\n"))
            .collect();
        let body = body.to_string();
        let head = format!(
            "POST /mcp HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
             accept: application/json, text/event-stream\r\n{headers}content-length: {}\r\n\r\n",
            body.len()
        );
        tls.write_all(format!("{head}{body}").as_bytes()).unwrap();
    }
}

/// Reads until the text arrives.
fn until(tls: &mut Tls, wanted: &str) {
    let (mut text, mut piece) = (String::new(), [0; 4096]);
    while !text.contains(wanted) {
        let read = tls.read(&mut piece).unwrap();
        assert!(read > 0, "ended before '{wanted}': {text}");
        text.push_str(&String::from_utf8_lossy(&piece[..read]));
    }
}

fn call(world: &World, tls: &mut Tls) {
    world.send(
        tls,
        "tools/call",
        json!({ "name": "sample__add", "arguments": { "a": 20, "b": 3 } }),
    );
    until(tls, "\"23\"");
}

/// Whether a stream ends before its next ping, which comes 20 s after the last.
fn ends(mut tls: Tls) -> bool {
    tls.get_mut().set_read_timeout(Some(PATIENCE / 2)).unwrap();
    loop {
        match tls.read(&mut [0; 4096]) {
            Ok(0) => return true,
            Ok(_) => {}
            Err(error) => return error.kind() != ErrorKind::WouldBlock,
        }
    }
}

#[test]
fn calls_and_streams_go_over_tls_and_not_without() {
    let world = World::new("");
    let mut tls = world.connect();
    call(&world, &mut tls);
    call(&world, &mut tls);
    let filter = json!({ "notifications": { "resourceSubscriptions": ["sample+sample://clock"] } });
    world.send(&mut tls, "subscriptions/listen", filter);
    until(&mut tls, "notifications/subscriptions/acknowledged");
    until(&mut tls, "notifications/resources/updated");
    let mut plain = TcpStream::connect(&world.gateway.address).unwrap();
    plain.write_all(b"GET /mcp HTTP/1.1\r\nhost: localhost\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_new_certificate_is_shown_without_a_restart_and_a_bad_one_is_not() {
    let world = World::new("");
    let mut open = world.connect();
    assert!(world.shows("first"));
    put(world.folder.path(), "second");
    wait_for("the new certificate is shown", || world.shows("second"));
    call(&world, &mut open);
    std::fs::write(world.folder.path().join("server.pem"), "no certificate").unwrap();
    wait_for("it is refused", || world.gateway.logged("the new certificate is invalid"));
    assert!(world.shows("second"));
    put(world.folder.path(), "first");
    wait_for("a good one is taken again", || world.shows("first"));
}

#[test]
fn a_certificate_says_who_its_bearer_is() {
    let folder = crate::support::folder();
    put(folder.path(), "first");
    let at = folder.path().display();
    let gateway = Gateway::start(&format!(
        "tls: {{cert: {at}/server.pem, key: {at}/server.key, client_ca: {}}}\npolicy: {{files: \
         [open.cedar]}}\nservers: {{sample: {{sample: true}}}}",
        made("clients-ca.pem").display()
    ));
    let robot = "permit (principal == ServiceAccount::\"certificate:spiffe://acme/robot\", action, \
                 resource) when { context.authentication == \"certificate\" };";
    std::fs::write(gateway.folder.path().join("open.cedar"), robot).unwrap();
    wait_for("the policies are active", || {
        gateway.log().iter().filter(|line| line.contains("policies are active")).count() > 1
    });
    let world = World { gateway, folder };
    call(&world, &mut world.connect_as(Some("client")).unwrap());
    // A client without a certificate needs another credential. One with an unknown certificate is not admitted at
    // all.
    let mut none = world.connect();
    world.send(&mut none, "tools/list", json!({}));
    until(&mut none, "HTTP/1.1 401");
    let refused = world.connect_as(Some("stranger")).and_then(|mut tls| {
        world.send(&mut tls, "tools/list", json!({}));
        tls.read(&mut [0; 16])
    });
    assert!(!matches!(refused, Ok(1..)), "{refused:?}");
    // Disabling the owner ends open streams; enabling the owner admits the certificate again.
    let filter = json!({ "notifications": { "toolsListChanged": true } });
    let mut stream = world.connect_as(Some("client")).unwrap();
    world.send(&mut stream, "subscriptions/listen", filter.clone());
    until(&mut stream, "notifications/subscriptions/acknowledged");
    let owner = "certificate:spiffe://acme/robot";
    world.gateway.told(&["principals", "set", "service-account", "somebody", "--disabled"]);
    std::thread::sleep(std::time::Duration::from_millis(600));
    call(&world, &mut world.connect_as(Some("client")).unwrap());
    world.gateway.told(&["principals", "set", "service-account", owner, "--disabled"]);
    assert!(ends(stream), "the stream ends with its owner");
    let mut refused = world.connect_as(Some("client")).unwrap();
    world.send(&mut refused, "tools/list", json!({}));
    until(&mut refused, "HTTP/1.1 401");
    world.gateway.told(&["principals", "set", "service-account", owner]);
    wait_for("the owner is let in again", || {
        let mut again = world.connect_as(Some("client")).unwrap();
        world.send(&mut again, "tools/list", json!({}));
        let mut head = [0; 12];
        again.read_exact(&mut head).unwrap();
        head == *b"HTTP/1.1 200"
    });
    // A key takes precedence over the certificate.
    let mut wrong = world.connect_as(Some("client")).unwrap();
    wrong
        .write_all(b"GET /mcp HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer x\r\n\r\n")
        .unwrap();
    until(&mut wrong, "HTTP/1.1 401");
}

/// A connection may outlive the certificate that it began with, but streams opened over it end.
#[test]
fn a_stream_ends_when_its_certificate_expires() {
    let folder = crate::support::folder();
    let at = folder.path();
    put(at, "first");
    let openssl = |arguments: &[&str]| {
        let output = std::process::Command::new("openssl")
            .args(arguments)
            .current_dir(at)
            .output()
            .expect("openssl makes the certificate");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    std::fs::write(
        at.join("ca.cnf"),
        "[ca]\ndefault_ca = own\n[own]\nnew_certs_dir = .\ndatabase = index\nserial = serial\n\
         default_md = sha256\npolicy = any\nx509_extensions = names\n[any]\ncommonName = supplied\n\
         [names]\nsubjectAltName = URI:spiffe://acme/brief\nextendedKeyUsage = clientAuth\n",
    )
    .unwrap();
    std::fs::write(at.join("index"), "").unwrap();
    std::fs::write(at.join("serial"), "01").unwrap();
    let new = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    let own = ["-keyout", "own.key", "-out", "own.pem", "-subj", "/CN=own", "-days", "2"];
    openssl(&[&["req", "-x509"], &new[..], &own].concat());
    let request = ["-keyout", "brief.key", "-out", "brief.csr", "-subj", "/CN=brief"];
    openssl(&[&["req", "-new"], &new[..], &request].concat());
    let gateway = Gateway::start(&format!(
        "tls: {{cert: {0}/server.pem, key: {0}/server.key, client_ca: {0}/own.pem}}\npolicy: {{files: \
         [open.cedar]}}\nservers: {{sample: {{sample: true}}}}",
        at.display()
    ));
    let end = jiff::Timestamp::now() + std::time::Duration::from_secs(6);
    let end = end.strftime("%Y%m%d%H%M%SZ").to_string();
    let sign = ["ca", "-batch", "-config", "ca.cnf", "-cert", "own.pem", "-keyfile", "own.key"];
    openssl(
        &[&sign[..], &["-in", "brief.csr", "-out", "brief.pem", "-notext", "-enddate", &end]]
            .concat(),
    );
    let world = World { gateway, folder };
    let brief = world.folder.path().join("brief");
    let brief = brief.to_str();
    let mut stream = world.connect_as(brief).unwrap();
    let mut idle = world.connect_as(brief).unwrap();
    let filter = json!({ "notifications": { "toolsListChanged": true } });
    world.send(&mut stream, "subscriptions/listen", filter);
    until(&mut stream, "notifications/subscriptions/acknowledged");
    call(&world, &mut idle);
    assert!(ends(stream), "the stream ends with its certificate");
    // No new request is accepted over a connection that is still open either.
    world.send(&mut idle, "tools/list", json!({}));
    until(&mut idle, "HTTP/1.1 401");
}

#[test]
fn who_does_not_shake_hands_is_cut_off_and_holds_up_nobody() {
    let world = World::new("timeouts: {headers: 1s}");
    let mut silent: Vec<TcpStream> =
        (0..50).map(|_| TcpStream::connect(&world.gateway.address).unwrap()).collect();
    call(&world, &mut world.connect());
    let began = Instant::now();
    for socket in &mut silent {
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        match socket.read(&mut [0; 16]) {
            Ok(0) => {}
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(began.elapsed() < PATIENCE / 2, "{:?}", began.elapsed());
}

#[test]
fn files_that_hold_no_certificate_are_said_at_the_start() {
    let folder = crate::support::folder();
    put(folder.path(), "first");
    let config = folder.path().join("doorward.yaml");
    // The key of another certificate, named relative to the configuration file.
    std::fs::copy(made("second.key"), folder.path().join("other.key")).unwrap();
    for (key, said) in
        [("other.key", "other.key"), ("none.key", "none.key"), ("server.pem", "server.pem")]
    {
        let text =
            format!("listen: 127.0.0.1:0\nadmin: null\ntls: {{cert: server.pem, key: {key}}}\n");
        std::fs::write(&config, text).unwrap();
        let output = doorward().args(["serve", "--config"]).arg(&config).output().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{error}");
        assert!(error.contains("tls: ") && error.contains(said), "{error}");
    }
}

#[test]
fn the_admin_listener_speaks_tls_and_leaves_loopback_only_with_it() {
    let folder = crate::support::folder();
    put(folder.path(), "first");
    let at = folder.path().display();
    let gateway = Gateway::start_unready(&format!(
        "admin_tls: {{cert: {at}/server.pem, key: {at}/server.key}}\nservers: {{sample: {{sample: true}}}}"
    ));
    let key = gateway.told(&["keys", "create", "--user", "root", "--admin"]);
    let port = gateway.admin.rsplit_once(':').unwrap().1;
    let servers = |scheme: &str| {
        let mut command = crate::support::doorward();
        command.args(["servers", "--admin-url", &format!("{scheme}://localhost:{port}")]);
        command.env("SSL_CERT_FILE", made("ca.pem")).env("DOORWARD_KEY", &key);
        command.output().unwrap()
    };
    crate::support::wait_for("it answers over TLS", || servers("https").status.success());
    assert!(!servers("http").status.success());
    // Without TLS the admin listener stays on loopback.
    let file = folder.path().join("doorward.yaml");
    std::fs::write(&file, "admin: 0.0.0.0:7301\nservers: {}\n").unwrap();
    let checked = crate::support::doorward().arg("check").arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(!checked.status.success() && said.contains("admin_tls"), "{said}");
}
