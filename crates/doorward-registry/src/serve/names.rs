//! The names of entries: in reverse-DNS form, from the gateway's public URL.

use url::{Host, Url};

/// Longest namespace: with a slash and a name of 64 letters behind it, a name has at most 200 characters.
const LONGEST: usize = 135;

/// What the names of all entries begin with: the labels of the public URL's host, the last one first. An address becomes
/// the reverse of its name in `in-addr.arpa` or `ip6.arpa`. The port is not part of it.
pub fn namespace(public_url: &str) -> String {
    let url = Url::parse(public_url).ok();
    let host = url.as_ref().and_then(Url::host);
    let labels: Vec<String> = match host {
        Some(Host::Domain(name)) => {
            name.trim_end_matches('.').rsplit('.').map(str::to_owned).collect()
        }
        Some(Host::Ipv4(address)) => ["arpa", "in-addr"]
            .into_iter()
            .map(str::to_owned)
            .chain(address.octets().iter().map(ToString::to_string))
            .collect(),
        Some(Host::Ipv6(address)) => {
            let digits = address.octets().map(|octet| format!("{:x}.{:x}", octet >> 4, octet & 15));
            ["arpa", "ip6"].into_iter().map(str::to_owned).chain(digits).collect()
        }
        None => vec!["localhost".into()],
    };
    let mut namespace = String::new();
    for label in labels.iter().filter(|label| !label.is_empty()) {
        if namespace.len() + 1 + label.len() > LONGEST {
            break;
        }
        if !namespace.is_empty() {
            namespace.push('.');
        }
        let legal = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
        namespace.extend(label.chars().map(legal));
    }
    if namespace.is_empty() { "localhost".into() } else { namespace }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_is_the_reverse_of_the_host() {
        let long =
            format!("https://a.{}.{}.{}.example/", "b".repeat(60), "c".repeat(60), "d".repeat(60));
        for (url, expected) in [
            ("https://mcp.example.com", "com.example.mcp"),
            ("https://mcp.example.com.:8443/", "com.example.mcp"),
            ("http://localhost:7300", "localhost"),
            ("http://127.0.0.1:7300", "arpa.in-addr.127.0.0.1"),
            (
                "http://[::1]:7300",
                "arpa.ip6.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.1",
            ),
            ("https://b\u{fc}cher.example", "example.xn--bcher-kva"),
            ("https://a_b.example", "example.a-b"),
            ("nonsense", "localhost"),
            (&long, &format!("example.{}.{}", "d".repeat(60), "c".repeat(60))),
        ] {
            let name = namespace(url);
            assert_eq!(name, expected, "{url}");
            assert!(name.len() <= LONGEST);
            assert!(name.bytes().all(|it| it.is_ascii_alphanumeric() || b".-".contains(&it)));
        }
    }
}
