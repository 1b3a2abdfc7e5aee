//! Clients: preregistered, dynamically registered (RFC 7591), and identified by the URL of a metadata document
//! (draft-ietf-oauth-client-id-metadata-document-00).

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use doorward_store::{Store, hash_of};
use http::header::CACHE_CONTROL;
use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};
use url::Url;

use doorward_config::AuthorizationServerSettings;
use doorward_config::redirect_uri::{check_redirect_uri, is_registered};
use doorward_core::address::network;
use doorward_identity::identity::issuer::{KeySet, read_keys};
use doorward_net::outbound::{self, Answer, Author};

/// Maximum length of a client id, in bytes.
pub const MOST_ID: usize = 512;
/// Maximum length of a name in characters, and number of redirect URIs.
const MOST_NAME: usize = 100;
const MOST_URIS: usize = 32;
/// Maximum size of a metadata document, in bytes.
const MOST_DOCUMENT: usize = 64 << 10;
/// Maximum number of cached documents.
const MOST_DOCUMENTS: usize = 1000;
/// Maximum number of concurrent fetches: in total, per host, and per client address; and how long a request waits
/// for its turn.
const AT_ONCE: usize = 64;
const OF_ONE_HOST: usize = 4;
const FOR_ONE_ADDRESS: usize = 4;
const TURN: Duration = Duration::from_secs(5);
/// Cache lifetime: minimum, default and maximum. A document that cannot be used is cached for the minimum.
const BRIEF: Duration = Duration::from_secs(60);
const USUAL: Duration = Duration::from_secs(5 * 60);
const LONG: Duration = Duration::from_secs(60 * 60);

/// A client.
#[derive(Debug, Clone)]
pub struct Client {
    pub id: String,
    pub name: String,
    /// The host of its metadata document, which vouches for its name.
    pub host: Option<String>,
    /// The operator has declared it in the configuration.
    pub is_declared: bool,
    redirect_uris: Vec<String>,
    pub authentication: Authentication,
}

/// How it authenticates.
#[derive(Debug, Clone)]
pub enum Authentication {
    /// Not at all: a public client.
    Nothing,
    /// With a secret, of which this is the hash.
    Secret(String),
    /// With an assertion signed by one of these keys.
    Key(Arc<KeySet>),
}

/// Why a client cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unknown {
    #[error("{0}")]
    Wrong(String),
    /// It cannot be looked up at the moment.
    #[error("{0}")]
    Unavailable(String),
}

impl Client {
    /// Whether the redirect URI is registered.
    pub fn has_redirect_uri(&self, asked: &str) -> bool {
        self.redirect_uris.iter().any(|known| is_registered(known, asked))
    }

    /// Reads the metadata of an unverified client. The error is a code of RFC 7591 section 3.2.2 and a description.
    pub fn read(
        id: &str,
        metadata: &Map<String, Value>,
        settings: &AuthorizationServerSettings,
        all_uris: bool,
    ) -> Result<Self, (&'static str, String)> {
        let name = match metadata.get("client_name") {
            None => String::new(),
            Some(Value::String(name)) => name.trim().chars().take(MOST_NAME).collect(),
            Some(_) => {
                return Err(("invalid_client_metadata", "'client_name' must be a string".into()));
            }
        };
        let uris = metadata.get("redirect_uris").and_then(Value::as_array);
        let uris = uris.filter(|uris| (1..=MOST_URIS).contains(&uris.len())).ok_or_else(|| {
            let why = format!("'redirect_uris' must be a list of 1 to {MOST_URIS}");
            ("invalid_redirect_uri", why)
        })?;
        let mut redirect_uris = Vec::new();
        for uri in uris {
            let checked = uri.as_str().ok_or("it is not a string").and_then(|uri| {
                check_redirect_uri(uri, Some(&settings.redirect_schemes)).map(|()| uri.to_owned())
            });
            match checked {
                Ok(uri) => redirect_uris.push(uri),
                // A document may list redirect URIs for other gateways.
                Err(why) if all_uris => {
                    return Err(("invalid_redirect_uri", format!("{uri}: {why}")));
                }
                Err(_) => {}
            }
        }
        if redirect_uris.is_empty() {
            let why = "none of its redirect URIs is allowed";
            return Err(("invalid_redirect_uri", why.into()));
        }
        let name = if name.is_empty() { id.to_owned() } else { name };
        let (id, authentication) = (id.to_owned(), Authentication::Nothing);
        Ok(Self { id, name, host: None, is_declared: false, redirect_uris, authentication })
    }
}

/// Cached documents by URL, each with its expiry.
type Documents = HashMap<String, (Instant, Result<Arc<Client>, Unknown>)>;

/// All clients.
#[derive(Debug)]
pub struct Clients {
    settings: AuthorizationServerSettings,
    documents: Mutex<Documents>,
    fetching: Turns,
}

/// Fetches in progress, limited in total, per host and per address.
#[derive(Debug)]
struct Turns {
    all: Semaphore,
    some: Mutex<HashMap<Party, Arc<Semaphore>>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Party {
    Host(String),
    Address(IpAddr),
}

/// Permission for one fetch.
#[derive(Debug)]
struct Turn<'a> {
    turns: &'a Turns,
    parties: [Party; 2],
    own: Vec<OwnedSemaphorePermit>,
    all: Option<SemaphorePermit<'a>>,
}

impl Turns {
    fn new() -> Self {
        Self { all: Semaphore::new(AT_ONCE), some: Mutex::default() }
    }

    /// Waits for a turn; `None` if it takes too long. The limits of the address and the host come first, so that a
    /// request that has to wait for them does not wait in the common queue.
    async fn take(&self, host: &str, address: IpAddr) -> Option<Turn<'_>> {
        let parties = [Party::Address(network(address)), Party::Host(host.to_owned())];
        let mut turn = Turn { turns: self, parties, own: Vec::new(), all: None };
        let taking = async {
            for (at, most) in [FOR_ONE_ADDRESS, OF_ONE_HOST].into_iter().enumerate() {
                let party = turn.parties[at].clone();
                let share = self
                    .some
                    .lock()
                    .entry(party)
                    .or_insert_with(|| Arc::new(Semaphore::new(most)))
                    .clone();
                turn.own.push(share.acquire_owned().await.ok()?);
            }
            turn.all = Some(self.all.acquire().await.ok()?);
            Some(())
        };
        tokio::time::timeout(TURN, taking).await.ok()??;
        Some(turn)
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.own.clear();
        self.all = None;
        let mut some = self.turns.some.lock();
        for party in &self.parties {
            if some.get(party).is_some_and(|share| Arc::strong_count(share) == 1) {
                some.remove(party);
            }
        }
    }
}

impl Clients {
    pub fn new(settings: &AuthorizationServerSettings) -> Self {
        Self { settings: settings.clone(), documents: Mutex::default(), fetching: Turns::new() }
    }

    pub async fn find(
        &self,
        id: &str,
        store: &Store,
        address: IpAddr,
    ) -> Result<Arc<Client>, Unknown> {
        let wrong = || Unknown::Wrong("There is no such client".into());
        if id.len() > MOST_ID {
            return Err(wrong());
        }
        if id.contains("://") {
            return self.by_document(id, address).await;
        }
        if let Some(known) = self.settings.clients.get(id) {
            return Ok(Arc::new(Client {
                id: id.to_owned(),
                name: known.name.clone(),
                host: None,
                is_declared: true,
                redirect_uris: known.redirect_uris.clone(),
                authentication: match &known.secret {
                    Some(secret) => Authentication::Secret(hash_of(secret.expose())),
                    None => Authentication::Nothing,
                },
            }));
        }
        let stored = store.client(id).await.map_err(|error| {
            tracing::error!(%error, "the store failed");
            Unknown::Unavailable("The store cannot be read".into())
        })?;
        let stored = stored.ok_or_else(wrong)?;
        let metadata = serde_json::from_str(&stored.registration).map_err(|_| wrong())?;
        let client = Client::read(id, &metadata, &self.settings, false);
        let mut client = client.map_err(|(_, why)| Unknown::Wrong(why))?;
        if let Some(hash) = stored.secret_hash {
            client.authentication = Authentication::Secret(hash);
        } else if let Some(keys) = metadata.get("jwks").and_then(Value::as_object) {
            let keys = read_keys(keys).map_err(|why| Unknown::Wrong(why.into()))?;
            client.authentication = Authentication::Key(Arc::new(KeySet::new(keys)));
        }
        Ok(Arc::new(client))
    }

    /// A client by its metadata document, which is cached.
    async fn by_document(&self, id: &str, address: IpAddr) -> Result<Arc<Client>, Unknown> {
        if !self.settings.metadata_documents {
            return Err(Unknown::Wrong("Client ID metadata documents are not enabled".into()));
        }
        let url =
            document_url(id).map_err(|why| Unknown::Wrong(format!("The client id: {why}")))?;
        let host = url.host_str().unwrap_or_default().to_owned();
        let place = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let author = match &self.settings.document_hosts[..] {
            [] => Author::Stranger,
            hosts if hosts.contains(&host) || hosts.contains(&place) => Author::Operator,
            _ => {
                return Err(Unknown::Wrong("Documents of this host are not accepted".into()));
            }
        };
        let known = |documents: &Documents| {
            let (until, client) = documents.get(id)?;
            (*until > Instant::now()).then(|| client.clone())
        };
        if let Some(client) = known(&self.documents.lock()) {
            return client;
        }
        let Some(_turn) = self.fetching.take(&host, address).await else {
            return Err(Unknown::Unavailable(
                "Too many client metadata documents are being fetched; try again".into(),
            ));
        };
        // Another request may have fetched it in the meantime.
        if let Some(client) = known(&self.documents.lock()) {
            return client;
        }
        let fetched = self.fetch(id, &url, author).await;
        let (client, time) = match fetched {
            Ok((client, time)) => (Ok(Arc::new(client)), time),
            Err(why) => {
                tracing::info!(client = id, "a client's metadata document cannot be used: {why}");
                (
                    Err(Unknown::Wrong(format!(
                        "The client's metadata document cannot be used: {why}"
                    ))),
                    BRIEF,
                )
            }
        };
        let mut documents = self.documents.lock();
        if documents.len() >= MOST_DOCUMENTS {
            let now = Instant::now();
            documents.retain(|_, (until, _)| *until > now);
            if documents.len() >= MOST_DOCUMENTS {
                documents.clear();
            }
        }
        documents.insert(id.to_owned(), (Instant::now() + time, client.clone()));
        client
    }

    async fn fetch(
        &self,
        id: &str,
        url: &Url,
        author: Author,
    ) -> Result<(Client, Duration), String> {
        let answer = outbound::get(url, author).await.map_err(|error| error.to_string())?;
        let time = cache_lifetime(&answer);
        if answer.body.len() > MOST_DOCUMENT {
            return Err(format!("it is larger than {MOST_DOCUMENT} bytes"));
        }
        let document = answer.object().map_err(|error| error.to_string())?;
        let text = |member: &str| document.get(member).and_then(Value::as_str);
        if text("client_id") != Some(id) {
            return Err("its 'client_id' is not its URL".into());
        }
        if text("client_name").is_none_or(|name| name.trim().is_empty()) {
            return Err("it has no 'client_name'".into());
        }
        if document.contains_key("client_secret") {
            return Err("it contains a secret".into());
        }
        let client = Client::read(id, &document, &self.settings, false);
        let mut client = client.map_err(|(_, why)| why)?;
        client.host = url.host_str().map(str::to_owned);
        client.authentication = match text("token_endpoint_auth_method").unwrap_or("none") {
            "none" => Authentication::Nothing,
            "private_key_jwt" => Authentication::Key(Arc::new(keys(&document, url, author).await?)),
            other => {
                let other = other.escape_debug();
                return Err(format!(
                    "'{other}' is not an authentication method without a shared secret"
                ));
            }
        };
        Ok((client, time))
    }
}

/// The keys of a document: inline, or at its `jwks_uri`. The operator's trust in the document's host applies to
/// the same origin only; other hosts must be public.
async fn keys(
    document: &Map<String, Value>,
    place: &Url,
    author: Author,
) -> Result<KeySet, String> {
    let fetched;
    let set = match (document.get("jwks"), document.get("jwks_uri")) {
        (Some(Value::Object(set)), None) => set,
        (None, Some(Value::String(uri))) => {
            let uri = Url::parse(uri).map_err(|_| "its 'jwks_uri' is not a URL")?;
            let author = if uri.origin() == place.origin() { author } else { Author::Stranger };
            let answer = outbound::get(&uri, author).await.map_err(|error| error.to_string())?;
            fetched = answer.object().map_err(|error| format!("its keys: {error}"))?;
            &fetched
        }
        _ => return Err("it must have one of 'jwks' and 'jwks_uri'".into()),
    };
    Ok(KeySet::new(read_keys(set)?))
}

/// Validates the URL of a document: https, with a path, in normal form.
fn document_url(id: &str) -> Result<Url, &'static str> {
    let url = Url::parse(id).map_err(|_| "it is not a URL")?;
    if url.scheme() != "https" {
        return Err("it is not an https:// URL");
    }
    if url.as_str() != id || url.fragment().is_some() {
        return Err("it is not in the normal form of a URL, without a fragment");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("it names a user");
    }
    if url.path() == "/" {
        return Err("it has no path");
    }
    Ok(url)
}

/// The cache lifetime that a response specifies, within limits (RFC 9111 section 5.2).
fn cache_lifetime(answer: &Answer) -> Duration {
    let directives: BTreeSet<String> = answer
        .headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|directive| directive.trim().to_ascii_lowercase())
        .collect();
    if directives.contains("no-store") || directives.contains("no-cache") {
        return BRIEF;
    }
    let said = directives.iter().find_map(|one| one.strip_prefix("max-age=")?.parse().ok());
    said.map_or(USUAL, Duration::from_secs).clamp(BRIEF, LONG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn slow_documents_do_not_delay_other_hosts_and_addresses() {
        let turns = Turns::new();
        let address = |last| IpAddr::from([192, 0, 2, last]);
        let mut held = Vec::new();
        for _ in 0..FOR_ONE_ADDRESS {
            held.push(turns.take("slow.example", address(1)).await.unwrap());
        }
        assert!(
            turns.take("other.example", address(1)).await.is_none(),
            "its address has its share"
        );
        assert!(turns.take("slow.example", address(2)).await.is_none(), "the host has its share");
        assert!(turns.take("other.example", address(2)).await.is_some());
        drop(held);
        assert!(turns.take("slow.example", address(1)).await.is_some());
        assert!(turns.some.lock().is_empty());
    }

    #[test]
    fn the_url_of_a_document_is_validated() {
        for (id, good) in [
            ("https://app.example/client.json", true),
            ("https://app.example:8443/client.json", true),
            ("http://app.example/client.json", false),
            ("https://app.example", false),
            ("https://app.example/", false),
            ("https://app.example/a/../b", false),
            ("https://app.example/x#y", false),
            ("https://user@app.example/x", false),
            ("https://APP.example/x", false),
            ("ftp://app.example/x", false),
        ] {
            assert_eq!(document_url(id).is_ok(), good, "{id}");
        }
    }
}
