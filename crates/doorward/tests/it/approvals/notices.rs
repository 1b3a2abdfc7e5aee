//! Approvers who are told where they are: by Slack, Microsoft Teams and mail. The mail server is one of the test's own, over
//! real sockets and TLS: it fails, offers no encryption, and shows certificates of the test's authority when it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};

use super::world::{HOLD, World, id_of, url};
use crate::support::{Gateway, made, wait_for};

/// Takes requests of one path, and keeps their bodies.
fn receiver() -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/services/T0/B0/secretpath", listener.local_addr().unwrap());
    let bodies: Arc<Mutex<Vec<Value>>> = Arc::default();
    let kept = bodies.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            let mut length = 0;
            loop {
                let mut line = String::new();
                if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
                    break;
                }
                let lower = line.to_ascii_lowercase();
                assert!(!lower.starts_with("webhook-signature"), "a message is signed");
                if let Some(text) = lower.strip_prefix("content-length:") {
                    length = text.trim().parse().unwrap();
                }
            }
            let mut body = vec![0; length];
            reader.read_exact(&mut body).unwrap();
            kept.lock().unwrap().push(serde_json::from_slice(&body).unwrap());
            _ = stream
                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
        }
    });
    (url, bodies)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encryption {
    Starttls,
    Implicit,
    NotOffered,
}

#[derive(Debug, Clone, Default)]
struct Mail {
    login: String,
    to: String,
    text: String,
    encrypted: bool,
}

/// A mail server.
#[derive(Clone)]
struct Smtp {
    port: u16,
    encryption: Encryption,
    mails: Arc<Mutex<Vec<Mail>>>,
    /// How many mails are answered with a temporary error first.
    failures: Arc<Mutex<u32>>,
    commands: Arc<Mutex<Vec<String>>>,
}

trait Both: Read + Write {}
impl<T: Read + Write> Both for T {}

fn line(stream: &mut dyn Both) -> Option<String> {
    let (mut line, mut byte) = (Vec::new(), [0]);
    while !line.ends_with(b"\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        line.push(byte[0]);
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).ok()
}

impl Smtp {
    fn start(encryption: Encryption, failures: u32) -> Self {
        let listener = TcpListener::bind("localhost:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let failures = Arc::new(Mutex::new(failures));
        let this =
            Self { port, encryption, mails: Arc::default(), failures, commands: Arc::default() };
        let server = this.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = server.clone();
                std::thread::spawn(move || server.serve(stream));
            }
        });
        this
    }

    fn tls(stream: TcpStream) -> StreamOwned<ServerConnection, TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let certificate = CertificateDer::from_pem_file(made("first.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(made("first.key")).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .unwrap();
        StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), stream)
    }

    fn serve(&self, mut stream: TcpStream) {
        if self.encryption == Encryption::Implicit {
            self.talk(&mut Self::tls(stream), true, true);
        } else if self.talk(&mut stream, false, true) {
            self.talk(&mut Self::tls(stream), true, false);
        }
    }

    /// Whether it is to be encrypted from now on.
    fn talk(&self, stream: &mut dyn Both, encrypted: bool, greets: bool) -> bool {
        let mut mail = Mail { encrypted, ..Mail::default() };
        if greets && stream.write_all(b"220 test ESMTP\r\n").is_err() {
            return false;
        }
        while let Some(command) = line(stream) {
            let verb = command.split(' ').next().unwrap_or_default().to_ascii_uppercase();
            self.commands.lock().unwrap().push(verb.clone());
            let answer = match &*verb {
                "EHLO" if encrypted => "250-test\r\n250-AUTH PLAIN\r\n250 8BITMIME",
                "EHLO" if self.encryption == Encryption::Starttls => "250-test\r\n250 STARTTLS",
                "EHLO" => "250-test\r\n250 8BITMIME",
                "STARTTLS" => {
                    stream.write_all(b"220 go ahead\r\n").unwrap();
                    return true;
                }
                "AUTH" => {
                    let encoded = command.rsplit(' ').next().unwrap();
                    mail.login = String::from_utf8(STANDARD.decode(encoded).unwrap()).unwrap();
                    "235 welcome"
                }
                "RCPT" => {
                    mail.to = command.clone();
                    "250 fine"
                }
                "DATA" => {
                    stream.write_all(b"354 go ahead\r\n").unwrap();
                    while let Some(line) = line(stream).filter(|line| line != ".") {
                        mail.text.push_str(&line);
                        mail.text.push('\n');
                    }
                    let mut failures = self.failures.lock().unwrap();
                    if *failures > 0 {
                        *failures -= 1;
                        "451 try again later"
                    } else {
                        self.mails.lock().unwrap().push(mail.clone());
                        "250 taken"
                    }
                }
                "QUIT" => {
                    _ = stream.write_all(b"221 bye\r\n");
                    return false;
                }
                _ => "250 fine",
            };
            if stream.write_all(format!("{answer}\r\n").as_bytes()).is_err() {
                return false;
            }
        }
        false
    }

    fn settings(&self, tls: &str) -> String {
        format!(
            "email:\n  server: localhost\n  port: {}\n  tls: {tls}\n  user: doorward\n  password: hunter22\n  \
             from: doorward@example.com\n  to: [ops@example.com]\n  \
             approvers: {{\"role:lead\": [dana@example.com], \"role:other\": [eve@example.com]}}\n  retry_pause: 50ms\n",
            self.port
        )
    }
}

/// A gateway that trusts the authority of the tests, or only those of the system.
fn start(world: &World, more: &str, trusts: bool) -> Gateway {
    let authority = made("ca.pem").display().to_string();
    let environment = [("SSL_CERT_FILE", &*authority)];
    let environment = if trusts { &environment[..] } else { &[] };
    let gateway = Gateway::start_in(&world.config(more), environment);
    wait_for("the policies are active", || gateway.logged("policies are active"));
    gateway
}

#[test]
fn slack_and_teams_are_sent_messages_that_lead_to_the_page() {
    let world = World::new(HOLD);
    let (slack, slack_bodies) = receiver();
    let (teams, teams_bodies) = receiver();
    let gateway = world.start_with(&format!(
        "webhooks:\n  chat: {{url: \"{slack}\", format: slack, kinds: [\"approval.*\"]}}\n  \
         team: {{url: \"{teams}\", format: teams, kinds: [\"approval.*\", \"stop.*\"]}}\n"
    ));
    let ann = world.client(&gateway, &["--user", "ann"]);
    let id = id_of(&ann.call("get", url("a")));
    let link = gateway.url(&format!("/approvals/{id}"));
    wait_for("both are told", || {
        !slack_bodies.lock().unwrap().is_empty() && !teams_bodies.lock().unwrap().is_empty()
    });
    let said = slack_bodies.lock().unwrap()[0].clone();
    assert_eq!(said["text"], "A call of s/get waits for approval", "{said}");
    assert!(said["blocks"].to_string().contains(&format!("<{link}|Open the approval>")), "{said}");
    let card = teams_bodies.lock().unwrap()[0]["attachments"][0]["content"].clone();
    assert_eq!(card["actions"][0]["url"], link, "{card}");
    assert!(card.to_string().contains("Getting needs a lead"), "{card}");
    world.told(&["approvals", "refuse", &id, "--reason", "not today"]);
    wait_for("both are told of the decision", || {
        slack_bodies.lock().unwrap().len() == 2 && teams_bodies.lock().unwrap().len() == 2
    });
    let said = slack_bodies.lock().unwrap()[1].to_string();
    assert!(said.contains("A call of s/get was refused") && said.contains("not today"), "{said}");
    // Any other event is a message, too.
    world.told(&["stop", "tool", "s/other", "--why", "a <drill>"]);
    wait_for("a stop is told", || teams_bodies.lock().unwrap().len() == 3);
    let said = teams_bodies.lock().unwrap()[2].to_string();
    assert!(said.contains("Something was stopped in an emergency"), "{said}");
    assert!(said.contains("a <drill>"), "{said}");
    // The address is a secret.
    let admin = world.known_key(&gateway, &["--user", "root", "--admin"]);
    let (status, list) = world.admin(&gateway, &admin, "GET", "/admin/v1/webhooks");
    assert!(status == 200 && !list.to_string().contains("secretpath"), "{list}");
    assert!(!gateway.log().join("\n").contains("secretpath"));
}

#[test]
fn approvers_are_sent_a_mail_over_a_verified_connection_until_it_is_taken() {
    for (encryption, tls) in
        [(Encryption::Starttls, "starttls"), (Encryption::Implicit, "implicit")]
    {
        let smtp = Smtp::start(encryption, 2);
        let world = World::new(HOLD);
        let gateway = start(&world, &smtp.settings(tls), true);
        let ann = world.client(&gateway, &["--user", "ann"]);
        let id = id_of(&ann.call("get", url("a")));
        wait_for("the mail has come", || !smtp.mails.lock().unwrap().is_empty());
        let mail = smtp.mails.lock().unwrap()[0].clone();
        assert!(mail.encrypted && mail.to.contains("<dana@example.com>"), "{mail:?}");
        assert_eq!(mail.login, "\0doorward\0hunter22");
        let link = gateway.url(&format!("/approvals/{id}"));
        for part in ["Subject: A call of s/get waits for approval", &link, "Getting needs a lead"] {
            assert!(mail.text.contains(part), "{part}: {}", mail.text);
        }
        // Whoever cannot approve it is sent the decision, as configured.
        world.told(&["approvals", "approve", &id]);
        wait_for("the next mail has come", || smtp.mails.lock().unwrap().len() == 2);
        let mail = smtp.mails.lock().unwrap()[1].clone();
        assert!(mail.to.contains("<ops@example.com>"), "{mail:?}");
        let log = world.told(&["webhooks", "deliveries", "--json"]);
        let log: Value = serde_json::from_str(&log).unwrap();
        let first = log.as_array().unwrap().last().unwrap().clone();
        assert_eq!(
            (&first["webhook"], &first["state"], &first["attempts"]),
            (&json!("email:dana@example.com"), &json!("delivered"), &json!(3)),
            "{log}"
        );
        // An address can be tried like a webhook.
        let admin = world.known_key(&gateway, &["--user", "root", "--admin"]);
        let tried = |address: &str| {
            world.admin(
                &gateway,
                &admin,
                "POST",
                &format!("/admin/v1/webhooks/email:{address}/test"),
            )
        };
        assert_eq!(tried("nobody@example.com").0, 404);
        let (status, queued) = tried("eve@example.com");
        assert!(matches!(status, 200..=202), "{status} {queued}");
        wait_for("the test has come", || smtp.mails.lock().unwrap().len() == 3);
        assert!(smtp.mails.lock().unwrap()[2].to.contains("<eve@example.com>"));
        assert!(!gateway.log().join("\n").contains("hunter22"));
    }
}

#[test]
fn nothing_is_said_to_a_mail_server_that_is_not_verified_or_not_encrypted() {
    for (encryption, trusts, said) in
        [(Encryption::Starttls, false, "certificate"), (Encryption::NotOffered, true, "STARTTLS")]
    {
        let smtp = Smtp::start(encryption, 0);
        let world = World::new(HOLD);
        let gateway = start(&world, &smtp.settings("starttls"), trusts);
        let ann = world.client(&gateway, &["--user", "ann"]);
        id_of(&ann.call("get", url("a")));
        let log = || world.told(&["webhooks", "deliveries", "--json"]);
        wait_for("it has failed", || log().contains("\"error\""));
        let log = log();
        assert!(log.to_lowercase().contains(&said.to_lowercase()), "{log}");
        assert!(smtp.mails.lock().unwrap().is_empty());
        let commands = smtp.commands.lock().unwrap().clone();
        assert!(
            commands.iter().all(|verb| ["EHLO", "STARTTLS", "QUIT"].contains(&&**verb)),
            "{commands:?}"
        );
    }
}
