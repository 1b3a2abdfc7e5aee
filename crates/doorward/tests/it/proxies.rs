//! A gateway that connects through the proxy of its environment.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::support::Gateway;
use crate::support::client::Modern;
use crate::support::hostile::{Era, scripted};
use serde_json::json;

/// A proxy that connects everything to one address and stores the requests it receives. A real proxy cannot be told
/// to resolve a name to this machine.
struct Proxy {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn leading_to(place: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let kept = asked.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let kept = kept.clone();
                std::thread::spawn(move || lead(client, place, &kept));
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

fn lead(mut client: TcpStream, place: SocketAddr, kept: &Mutex<Vec<String>>) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if client.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).unwrap();
    kept.lock().unwrap().push(text.clone());
    let mut server = TcpStream::connect(place).unwrap();
    if text.starts_with("CONNECT") {
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    } else {
        server.write_all(text.as_bytes()).unwrap();
    }
    let (mut up, mut down) = (client.try_clone().unwrap(), server.try_clone().unwrap());
    let upward = std::thread::spawn(move || std::io::copy(&mut up, &mut server));
    let _ = std::io::copy(&mut down, &mut client);
    let _ = client.shutdown(std::net::Shutdown::Both);
    let _ = upward.join();
}

#[test]
fn servers_are_reached_by_the_proxy_of_the_environment() {
    let server = scripted(Era::Modern, |_| None);
    let proxy = Proxy::leading_to(server.address);
    let by = format!("http://user:pass@{}", proxy.address);
    let config = "servers: {far: {url: \"http://far.example/mcp\"}, none: {url: \"http://none.example/mcp\"}}\n";
    let environment = [("HTTP_PROXY", by.as_str()), ("NO_PROXY", "none.example")];
    let gateway = Gateway::start_in(config, &environment);
    let client = Modern::new(&gateway, "/mcp/far");
    let said = client.call("echo", json!({ "text": "by the proxy" }));
    assert_eq!(said.text(), "by the proxy", "{}", said.body);
    let asked = proxy.asked();
    assert!(
        asked.iter().all(|head| head.starts_with("POST http://far.example/mcp HTTP/1.1")),
        "{asked:?}"
    );
    let shown = "proxy-authorization: Basic dXNlcjpwYXNz";
    assert!(
        asked.iter().all(|head| head.to_ascii_lowercase().contains(&shown.to_ascii_lowercase()))
    );
    // The server does not get the proxy's credential. A real proxy removes it (RFC 9110 section 11.7.1); this one
    // does not.
    assert_eq!(Modern::new(&gateway, "/mcp/none").call("echo", json!({})).kind(), "unreachable");
    assert!(
        gateway.log().iter().all(|line| !line.contains("dXNlcjpwYXNz") && !line.contains("pass@"))
    );
}

#[test]
fn what_has_tls_goes_through_a_tunnel_and_what_is_here_goes_by_none() {
    let here = scripted(Era::Modern, |_| None);
    // The end of the tunnel does not speak TLS, but the proxy still sees the request for a tunnel and its target.
    let proxy = Proxy::leading_to(here.address);
    let by = format!("http://{}", proxy.address);
    let config = format!(
        "servers: {{far: {{url: \"https://far.example:8443/mcp\"}}, here: {{url: \"{}\"}},\n\
         public: {{url: \"https://public.example/mcp\", public_only: true}}}}\n",
        here.url()
    );
    let gateway = Gateway::start_in(&config, &[("ALL_PROXY", &by)]);
    assert_eq!(Modern::new(&gateway, "/mcp/far").call("echo", json!({})).kind(), "unreachable");
    assert_eq!(Modern::new(&gateway, "/mcp/public").call("echo", json!({})).kind(), "unreachable");
    let said = Modern::new(&gateway, "/mcp/here").call("echo", json!({ "text": "direct" }));
    assert_eq!(said.text(), "direct");
    let asked = proxy.asked();
    assert!(!asked.is_empty());
    assert!(
        asked.iter().all(|head| head.starts_with("CONNECT far.example:8443 HTTP/1.1")),
        "{asked:?}"
    );
}

#[test]
fn a_proxy_of_another_kind_is_not_passed_over() {
    let config = "servers: {far: {url: \"http://far.example/mcp\"}}\n";
    let gateway = Gateway::start_in(config, &[("HTTP_PROXY", "socks5://127.0.0.1:9")]);
    let refused = Modern::new(&gateway, "/mcp/far").call("echo", json!({}));
    assert_eq!(refused.kind(), "unreachable", "{}", refused.body);
    assert!(gateway.logged("the proxy URL has the scheme socks5://"));
}
