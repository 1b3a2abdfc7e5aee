//! The token that a caller presented, retained only to be exchanged for a token of another server at a configured
//! authorization server (RFC 8693). There is no path from here into a request to a server (attack T8): the text
//! is accessible in this file alone.

use crate::oauth::{Fetched, TokenEndpoint, TokenError};
use crate::seal;
use doorward_config::Secret;

/// The credential that a caller presented.
#[derive(Debug)]
pub struct CallerToken(Kind);

#[derive(Debug)]
enum Kind {
    /// An access token of an issuer.
    Token(Secret),
    /// The provider's ID token of a user who has signed in at the gateway's own authorization server.
    SignedIn(Secret),
}

const TYPES: &str = "urn:ietf:params:oauth:token-type:";

impl CallerToken {
    pub(super) fn token(text: &str) -> Self {
        Self(Kind::Token(Secret(text.to_owned())))
    }

    /// An ID token of the provider.
    pub fn signed_in(id_token: String) -> Self {
        Self(Kind::SignedIn(Secret(id_token)))
    }

    /// A hash that identifies it.
    pub fn mark(&self) -> [u8; 32] {
        let (Kind::Token(text) | Kind::SignedIn(text)) = &self.0;
        seal::sha256(text.expose().as_bytes())
    }

    /// Exchanges it for a token of the requested type.
    pub async fn exchange(
        &self,
        at: &TokenEndpoint,
        wanted: &str,
        more: &[(&str, &str)],
    ) -> Result<Fetched, TokenError> {
        let (text, kind) = match &self.0 {
            Kind::Token(text) => (text, "access_token"),
            Kind::SignedIn(text) => (text, "id_token"),
        };
        let (kind, wanted) = (format!("{TYPES}{kind}"), format!("{TYPES}{wanted}"));
        let mut fields = vec![
            ("grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
            ("subject_token", text.expose()),
            ("subject_token_type", &kind),
            ("requested_token_type", &wanted),
        ];
        fields.extend_from_slice(more);
        at.fetch(&fields).await
    }
}
