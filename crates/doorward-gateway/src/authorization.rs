//! Implements the traits through which the built-in authorization server uses the gateway.

use std::collections::BTreeSet;

use bytes::Bytes;
use doorward_authorization::{Authorization, Host};
use doorward_governance::stops::Stops;
use doorward_identity::delegation::link::Wanted;
use doorward_identity::signing::Signing;
use doorward_store::{Error, Store};
use futures_util::future::BoxFuture;
use http::{HeaderMap, Response, StatusCode};
use hyper::body::Incoming;

use crate::approvals::signing_in::signed_in;
use crate::delegated;
use crate::endpoint::is_endpoint;
use crate::gateway::Gateway;
use doorward_web::body::read_within as read_body;

impl Host for Gateway {
    fn authorization(&self) -> &Authorization {
        &self.authorization
    }

    fn store(&self) -> Option<&Store> {
        self.kept.store()
    }

    fn signing(&self) -> &Signing {
        &self.signing
    }

    fn stops(&self) -> &Stops {
        &self.emergency.stops
    }

    fn requested_scopes(&self) -> BTreeSet<String> {
        self.asked_scopes()
    }

    fn all_scopes(&self) -> BTreeSet<String> {
        self.every_scope()
    }

    fn has_endpoint(&self, path: &str) -> bool {
        is_endpoint(self, path)
    }

    fn read(
        &self,
        body: Incoming,
        most: usize,
    ) -> BoxFuture<'_, Result<Bytes, (StatusCode, String)>> {
        Box::pin(read_body(body, &self.shared, most))
    }

    fn reread_store(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.look_at_store(false))
    }

    fn connect(&self, wanted: Wanted) -> BoxFuture<'_, Response<Bytes>> {
        Box::pin(delegated::depart(self, wanted))
    }

    fn approver(&self, id: &str, headers: &HeaderMap, token: &str) -> Response<Bytes> {
        signed_in(self, id, headers, token)
    }
}
