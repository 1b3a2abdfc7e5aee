//! Sources of replicas: the configuration, DNS, or a file.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::Path;

use url::Url;

use doorward_config::{ReplicaGroup, ReplicaSettings, problem_of};
use doorward_core::address::is_public;
use doorward_core::pattern::Pattern;
use doorward_identity::seal;
use doorward_net::resolver;

/// Maximum number of replicas per server, and maximum size of a file that lists them.
const MOST: usize = 1_000;
const LONGEST: u64 = 1 << 20;

/// The location of one replica.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    pub url: Url,
    /// The IP address, if it is one of several that the URL's host resolves to.
    pub address: Option<IpAddr>,
    pub group: ReplicaGroup,
    pub region: Option<String>,
    /// Classes of data that it may receive; `None` for the server's.
    pub data_classes: Option<BTreeSet<Pattern>>,
}

impl Place {
    /// A location from a source.
    fn of(source: &ReplicaSettings, url: Url, address: Option<IpAddr>) -> Self {
        let ReplicaSettings { group, region, data_classes, .. } = source.clone();
        Self { url, address, group, region, data_classes }
    }

    /// The displayed name.
    pub fn label(&self) -> String {
        match self.address {
            Some(address) => format!("{} at {address}", self.url),
            None => self.url.to_string(),
        }
    }

    /// A stable id: the same at every gateway and after every restart.
    pub fn tag(&self) -> Box<str> {
        let whole = seal::fingerprint(&[self.label().as_bytes()]);
        whole.chars().take(12).collect::<String>().into()
    }
}

/// The replicas of a source that are known without resolving anything.
pub fn said(source: &ReplicaSettings) -> Option<Place> {
    let url = source.url.clone()?;
    Some(Place::of(source, url, None))
}

/// Resolves the replicas of one source. The error says why they are unknown.
pub async fn find(source: &ReplicaSettings, public_only: bool) -> Result<Vec<Place>, String> {
    let places: Vec<Place> = if let Some(url) = &source.url {
        vec![Place::of(source, url.clone(), None)]
    } else if let Some(url) = &source.dns {
        let host = url.host_str().unwrap_or_default();
        let found = resolver::addresses(host).await;
        let found = found.map_err(|error| format!("'{host}' cannot be resolved: {error}"))?;
        let allowed = found.into_iter().filter(|address| !public_only || is_public(*address));
        allowed.map(|address| Place::of(source, url.clone(), Some(address))).collect()
    } else if let Some(file) = &source.file {
        let text = read(file).await.map_err(|why| format!("'{}': {why}", file.display()))?;
        let urls = listed(&text, public_only);
        let urls = urls.map_err(|why| format!("'{}': {why}", file.display()))?;
        urls.into_iter().map(|url| Place::of(source, url, None)).collect()
    } else {
        Vec::new()
    };
    if places.len() > MOST {
        return Err(format!("there are {} replicas; the maximum is {MOST}", places.len()));
    }
    Ok(places)
}

async fn read(file: &Path) -> Result<String, String> {
    let about = tokio::fs::metadata(file).await.map_err(|error| error.to_string())?;
    if about.len() > LONGEST {
        return Err(format!("it is longer than {LONGEST} bytes"));
    }
    tokio::fs::read_to_string(file).await.map_err(|error| error.to_string())
}

fn listed(text: &str, public_only: bool) -> Result<Vec<Url>, String> {
    let lines = text.lines().map(|line| line.split_once(" #").map_or(line, |(url, _)| url).trim());
    let lines = lines.enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|(at, line)| {
            let number = at + 1;
            let unread = |why| format!("line {number}: '{line}' is not a URL: {why}");
            let url = Url::parse(line).map_err(unread)?;
            match problem_of(&url, public_only) {
                None => Ok(url),
                Some(why) => Err(format!("line {number}: {why}")),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_lists_urls() {
        let text = "# all\nhttp://a:1/mcp\n\n  https://b/mcp # new\nhttp://c/x#y\n";
        let urls = listed(text, false).unwrap();
        let urls: Vec<_> = urls.iter().map(Url::as_str).collect();
        assert_eq!(urls, ["http://a:1/mcp", "https://b/mcp", "http://c/x#y"]);
        assert_eq!(listed("", false).unwrap(), []);
        for (text, why) in [
            ("http://a/\nnonsense", "line 2: 'nonsense' is not a URL: relative URL without a base"),
            ("ftp://a/", "line 1: 'ftp://a/' is not an http:// or https:// URL"),
            ("http://u:p@a/", "line 1: put credentials into 'headers', not into the URL"),
        ] {
            assert_eq!(listed(text, false).unwrap_err(), why);
        }
        assert!(listed("http://169.254.169.254/", true).unwrap_err().contains("not public"));
        assert!(listed("http://10.0.0.1/", false).is_ok());
    }

    #[test]
    fn a_replica_is_known_again() {
        let place = |url: &str, address: Option<&str>| Place {
            url: url.parse().unwrap(),
            address: address.map(|address| address.parse().unwrap()),
            group: ReplicaGroup::Primary,
            region: None,
            data_classes: None,
        };
        let one = place("http://a/mcp", Some("10.0.0.1"));
        assert_eq!(one.tag(), place("http://a/mcp", Some("10.0.0.1")).tag());
        assert_ne!(one.tag(), place("http://a/mcp", Some("10.0.0.2")).tag());
        assert_ne!(one.tag(), place("http://b/mcp", Some("10.0.0.1")).tag());
        assert_eq!(one.label(), "http://a/mcp at 10.0.0.1");
    }
}
