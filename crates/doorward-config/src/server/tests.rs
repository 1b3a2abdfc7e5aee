use super::*;

#[test]
fn a_server_at_public_addresses_only_is_at_no_other() {
    for (url, good) in [
        ("https://93.184.216.34/mcp", true),
        ("https://example.com/mcp", true),
        ("http://127.0.0.1/mcp", false),
        ("http://0x7f.1/mcp", false),
        ("http://2130706433/mcp", false),
        ("http://169.254.169.254/latest", false),
        ("http://[::ffff:a9fe:a9fe]/", false),
        ("http://[2002:a9fe:a9fe::]/", false),
        ("http://[64:ff9b::a9fe:a9fe]/", false),
        ("http://[fec0::1]/", false),
    ] {
        let url = Some(url.parse().unwrap());
        let server = ServerSettings { url, public_only: true, ..Default::default() };
        assert_eq!(server.problems().is_empty(), good, "{server:?}");
    }
}

#[test]
fn a_server_is_an_url_or_a_command() {
    let url = Some("http://127.0.0.1:1/mcp".parse().unwrap());
    for (server, good) in [
        (ServerSettings { url: url.clone(), ..Default::default() }, true),
        (ServerSettings { command: Some("x".into()), ..Default::default() }, true),
        (ServerSettings::default(), false),
        (ServerSettings { url, command: Some("x".into()), ..Default::default() }, false),
        (ServerSettings { url: Some("ftp://a/b".parse().unwrap()), ..Default::default() }, false),
    ] {
        assert_eq!(server.problems().is_empty(), good, "{server:?}");
    }
}
