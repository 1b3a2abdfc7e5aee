//! Sessions are verified with each request: the session itself, and what was verified at the login, by what the gateway
//! knows now. A revoked key, a disabled user or a changed provider ends a session at once.

use std::net::IpAddr;
use std::sync::Arc;

use doorward_governance::stops::{CallerFacts, StopKind};
use doorward_store::{BrowserSession, EndOf, Error, now};
use serde_json::{Map, Value};

use super::kept::Live;
use super::{Face, LONGEST, NewSession, Proof, TOKEN_LIFETIME, id_of, opened};
use crate::identity::issuer::Issuer;
use crate::identity::token::Checked;
use crate::identity::{Caller, Identity, Known, Lease, Principal, Refused, Unavailable};
use doorward_config::{Claims, GATEWAY_LOGIN, IssuerSettings, LoginProvider};

/// The last use is stored this often, in seconds, or four times within the idle time.
const NOTED: i64 = 60;
/// What has expired is removed after so many checks, which come once a second.
const PRUNE: u64 = 60;

/// A valid session.
#[derive(Debug, Clone)]
pub struct SignedIn {
    pub caller: Caller,
    pub session: BrowserSession,
    pub proof: Arc<Proof>,
}

/// The issuer that maps the claims of a login to a principal.
pub(in crate::identity) fn issuer_of(name: &str, provider: &LoginProvider) -> Arc<Issuer> {
    let settings = IssuerSettings {
        claims: Claims { agent: Vec::new(), tenant: Some("tenant".into()), ..Claims::default() },
        tenant: provider.tenant.clone(),
        trusted_for: provider.trusted_for.clone(),
        ..IssuerSettings::new(&provider.issuer)
    };
    Issuer::new(name, &settings)
}

fn unavailable(error: &Error) -> Unavailable {
    tracing::warn!(%error, "a browser's session cannot be read");
    Unavailable
}

impl Identity {
    /// Who has signed in at a provider, by its verified claims and what the gateway knows of them.
    pub fn by_login(
        &self,
        provider: &str,
        claims: &Map<String, Value>,
    ) -> Result<Arc<Principal>, Refused> {
        let issuer = match provider {
            GATEWAY_LOGIN => self.issuers.load().iter().find(|issuer| issuer.is_own()).cloned(),
            name => self.logins.load().iter().find(|issuer| issuer.name == name).cloned(),
        };
        let issuer = issuer.ok_or(Refused::Token("its provider is no longer configured"))?;
        let checked = Checked { issuer, claims: claims.clone(), expires: i64::MAX, keys: None };
        Ok(self.principal(&checked)?.0)
    }

    /// The principal of what was verified at a login, as of now.
    fn by_proof(&self, proof: &Proof) -> Option<Arc<Principal>> {
        match proof {
            Proof::Key(id) => self.keys.find_by_id(id),
            Proof::OpenId { provider, claims, .. } => self.by_login(provider, claims).ok(),
        }
    }

    /// Opens a session. Returns the secret for the browser.
    pub async fn open_session(&self, new: &NewSession<'_>) -> Result<String, Unavailable> {
        self.open_browser(new, None).await
    }

    async fn open_browser(
        &self,
        new: &NewSession<'_>,
        parent: Option<&str>,
    ) -> Result<String, Unavailable> {
        let (session, secret) = new.made(parent).map_err(|_| Unavailable)?;
        self.browsers.put(session).await.map_err(|error| unavailable(&error))?;
        Ok(secret)
    }

    /// A token for calls in the name of a session: its text, and its lifetime in seconds.
    pub async fn session_token(&self, signed_in: &SignedIn) -> Result<(String, i64), Unavailable> {
        let SignedIn { caller, session, proof } = signed_in;
        let lifetime = TOKEN_LIFETIME.min(session.expires - now()).max(0);
        let new = NewSession {
            face: Face::Token,
            principal: &caller.principal,
            // Nothing is logged out with it.
            proof: match &**proof {
                Proof::OpenId { provider, claims, .. } => Proof::OpenId {
                    provider: provider.clone(),
                    claims: claims.clone(),
                    id_token: None,
                },
                Proof::Key(id) => Proof::Key(id.clone()),
            },
            subject: None,
            sid: None,
            address: caller.address.map(|address| address.to_string()),
            lifetime,
            idle: TOKEN_LIFETIME,
        };
        Ok((self.open_browser(&new, Some(&session.id)).await?, lifetime))
    }

    /// The valid session of a browser's secret; `None` if there is none.
    pub async fn by_session(
        &self,
        face: Face,
        secret: &str,
        address: IpAddr,
    ) -> Result<Option<SignedIn>, Refused> {
        if secret.is_empty() || secret.len() > LONGEST {
            return Ok(None);
        }
        let id = id_of(face, secret);
        let found = self.browsers.valid(&id).await.map_err(|error| unavailable(&error))?;
        let Some(session) = found else {
            self.end_live(&id);
            return Ok(None);
        };
        let proof = opened(&session, secret);
        let current = proof.and_then(|proof| {
            let principal = self.by_proof(&proof).filter(|it| *it.id == *session.principal)?;
            Some((proof, principal))
        });
        let Some((proof, principal)) = current else {
            self.end_session(&session).await?;
            return Ok(None);
        };
        if let Some(stop) = self.stopped(&principal) {
            self.end_session(&session).await?;
            return Err(Refused::Stopped(stop));
        }
        if face != Face::Token && now() - session.used >= NOTED.min(session.idle / 4) {
            self.browsers.used(&id).await;
        }
        let proof = Arc::new(proof);
        let lease = self.lease_of(&session, &proof);
        let caller =
            Caller { principal, lease, address: Some(address), credential: None, grant: None };
        Ok(Some(SignedIn { caller, session, proof }))
    }

    /// The same for a token, which is valid where clients connect only.
    pub(in crate::identity) async fn by_session_token(
        &self,
        token: &str,
        address: IpAddr,
    ) -> Result<Known, Refused> {
        let found = self.by_session(Face::Token, token, address).await?;
        let SignedIn { caller, .. } =
            found.ok_or(Refused::Token("unknown or expired token of a session"))?;
        Ok(Known::new(caller.principal, caller.lease))
    }

    /// Ends a session that is not valid any more, with its streams.
    async fn end_session(&self, session: &BrowserSession) -> Result<(), Unavailable> {
        let id = session.parent.as_deref().unwrap_or(&session.id);
        self.browsers.end(EndOf::Session(id)).await.map_err(|error| unavailable(&error))?;
        self.end_live(&session.id);
        self.end_live(id);
        Ok(())
    }

    fn end_live(&self, id: &str) {
        if let Some(lease) = self.browsers.live.lock().remove(id).and_then(|it| it.lease.upgrade())
        {
            lease.end();
        }
    }

    /// The lease of a session: the same one for all its streams.
    fn lease_of(&self, session: &BrowserSession, proof: &Arc<Proof>) -> Arc<Lease> {
        let mut live = self.browsers.live.lock();
        let known = live.get(&session.id).and_then(|it| it.lease.upgrade());
        if let Some(lease) = known.filter(|lease| !lease.is_over()) {
            return lease;
        }
        live.retain(|_, one| one.lease.strong_count() > 0);
        let lease = Lease::until(Some(session.expires));
        self.leases.watch(&lease);
        let one = Live { lease: Arc::downgrade(&lease), proof: proof.clone() };
        live.insert(session.id.clone(), one);
        lease
    }

    /// Verifies the sessions that have open streams, and ends those that are stopped. To be called once a second.
    pub async fn check_sessions(&self) {
        let (prunes, stops) = {
            let mut checks = self.browsers.checks.lock();
            checks.count += 1;
            let generation = self.stops.generation();
            let stops = std::mem::replace(&mut checks.stops, generation) != generation;
            (checks.count.is_multiple_of(PRUNE), stops)
        };
        if stops {
            self.end_stopped_sessions().await;
        }
        let live: Vec<(String, Live)> = {
            let mut live = self.browsers.live.lock();
            live.retain(|_, one| one.lease.strong_count() > 0);
            live.iter().map(|(id, one)| (id.clone(), one.clone())).collect()
        };
        for (id, one) in live {
            // While the store is away, what was known last counts.
            let Ok(found) = self.browsers.valid(&id).await else { continue };
            let principal = self.by_proof(&one.proof);
            let holds = found.zip(principal).is_some_and(|(session, principal)| {
                *principal.id == *session.principal && self.stopped(&principal).is_none()
            });
            if !holds {
                self.end_live(&id);
            }
        }
        if prunes {
            self.browsers.prune().await;
        }
    }

    async fn end_stopped_sessions(&self) {
        let Some(stopped) = self.stops.current() else { return };
        let Ok(all) = self.browsers.all().await else { return };
        let own = self.issuers.load().iter().find(|it| it.is_own()).map(|it| it.name.clone());
        for session in all {
            let issuer = match session.provider.as_deref() {
                Some(GATEWAY_LOGIN) => own.as_deref(),
                provider => provider,
            };
            let facts = CallerFacts {
                kind: match session.kind.as_str() {
                    "user" => Some(StopKind::User),
                    "agent" => Some(StopKind::Agent),
                    _ => Some(StopKind::ServiceAccount),
                },
                id: &session.name,
                tenant: session.tenant.as_deref(),
                key: session.key.as_deref(),
                issuer,
                ..CallerFacts::default()
            };
            if stopped.caller(&facts).is_some()
                && let Err(Unavailable) = self.end_session(&session).await
            {
                return;
            }
        }
    }
}
