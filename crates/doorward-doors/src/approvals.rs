//! The page on which people decide about a call: `/approvals/{id}` of the gateway's listener. It works without the console
//! and without scripts. Callers see the state of their own calls; whoever else may not decide is told the same as for an
//! unknown ID.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use doorward_authorization::approving::sign_in_to_approve;
use doorward_authorization::browser::{self, Browser};
use doorward_authorization::editing::{fields, read, visible};
use doorward_authorization::form::Form;
use doorward_authorization::not_allowed;
use doorward_authorization::page::{self, escaped};
use doorward_governance::approvals::{Approval, Ballot, Similar, State, Voter, edited};
use doorward_identity::identity::{Caller, Grant};
use doorward_mcp::method::{PROMPTS_GET, TASKS_UPDATE, TOOLS_CALL};
use doorward_net::peer::Peer;
use doorward_observability::audit::mask::MASKED;
use doorward_store::{Actor, Store, now};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use jiff::Timestamp;

use doorward_gateway::approvals::decide::{Undecided, changed, decide};
use doorward_gateway::approvals::signing_in::{CREDENTIAL, PREFIX, with_credential};
use doorward_gateway::gateway::Gateway;
use doorward_web::body::read_within;

/// Longest form, and longest ID.
const MOST: usize = 8 << 10;
const MOST_ID: usize = 64;
/// How long a form can be sent.
const FORM: Duration = Duration::from_secs(15 * 60);
/// What a form is sealed for.
const HERE: &str = "approve here";

/// Answers a request of a browser about an approval; `None` if it is not for here.
pub async fn answer(
    gateway: &Arc<Gateway>,
    peer: &Peer,
    request: &mut Option<Request<Incoming>>,
) -> Option<Response<Bytes>> {
    let id = request.as_ref()?.uri().path().strip_prefix(PREFIX)?;
    let is_id = !id.is_empty() && id.len() <= MOST_ID && id.bytes().all(|b| b.is_ascii_hexdigit());
    let store = gateway.kept.store().filter(|_| is_id)?;
    let id = id.to_owned();
    let (head, body) = request.take()?.into_parts();
    let Ok(browser) = Browser::of(&head.headers) else {
        let why = "The random number generator failed";
        return Some(page::problem(StatusCode::SERVICE_UNAVAILABLE, why, ""));
    };
    let desk = Desk { gateway, store, peer, headers: &head.headers, browser: &browser, id: &id };
    let response = match head.method {
        Method::GET => desk.show().await,
        Method::POST => match read_within(body, &gateway.shared, MOST).await {
            Ok(text) => desk.take(&Form::read(&text)).await,
            Err((status, why)) => page::problem(status, &why, ""),
        },
        _ => return Some(not_allowed("GET, POST")),
    };
    Some(browser.remembered(response))
}

struct Desk<'a> {
    gateway: &'a Arc<Gateway>,
    store: &'a Store,
    peer: &'a Peer,
    headers: &'a HeaderMap,
    browser: &'a Browser,
    id: &'a str,
}

impl Desk<'_> {
    fn origin(&self) -> &str {
        self.gateway.identity.resources.origin()
    }

    /// Who has signed in, as of now: by the cookie, or by a client certificate.
    async fn caller(&self) -> Option<Caller> {
        let sealer = &self.gateway.shared.sealer;
        let sealed = browser::approver(self.headers).filter(|sealed| !sealed.is_empty());
        let token = sealed
            .and_then(|sealed| sealer.open::<String>(sealed, &self.browser.id, CREDENTIAL).ok());
        match token {
            Some(token) => self.caller_with(&token).await,
            None if self.peer.certificate.is_some() => self.identify(&HeaderMap::new()).await,
            None => None,
        }
    }

    async fn caller_with(&self, token: &str) -> Option<Caller> {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
        headers.insert(AUTHORIZATION, value);
        self.identify(&headers).await
    }

    async fn identify(&self, headers: &HeaderMap) -> Option<Caller> {
        let uri = http::Uri::from_static("/approvals");
        let found = self.gateway.identity.identify(self.peer, headers, &uri, None).await.ok()?;
        (found.principal.grant != Grant::Open).then_some(found)
    }

    async fn show(&self) -> Response<Bytes> {
        match self.caller().await {
            Some(caller) => self.show_to(&caller).await,
            None => match sign_in_to_approve(&**self.gateway, self.id).await {
                Some(response) => response,
                None => self.sign_in(StatusCode::OK, ""),
            },
        }
    }

    /// A form for an API key, where nobody can read it on its way.
    fn sign_in(&self, status: StatusCode, note: &str) -> Response<Bytes> {
        if !self.origin().starts_with("https://") && !self.peer.address.is_loopback() {
            let why = "Signing in requires HTTPS";
            let then = "Use HTTPS, or decide in the console or with 'doorward approvals'.";
            return page::problem(StatusCode::FORBIDDEN, why, then);
        }
        let note = match note {
            "" => String::new(),
            note => format!("<p class=\"warn\">{}</p>", escaped(note)),
        };
        let body = format!(
            "<h1>Sign in to decide about a call</h1>{note}\
             <form class=\"wide\" method=\"post\" action=\"{PREFIX}{}\">\
             <label>API key<input type=\"password\" name=\"key\" autocomplete=\"off\" required></label>\
             <button class=\"yes\" name=\"decision\" value=\"sign_in\">Sign in</button></form>",
            escaped(self.id)
        );
        page::page(status, "Sign in", &body)
    }

    fn absent(&self, caller: &Caller) -> Response<Bytes> {
        let body = format!(
            "<h1>There is nothing to decide here</h1><p>There is no such approval, or it is not yours to decide.</p>{}",
            self.sign_out(caller)
        );
        page::page(StatusCode::NOT_FOUND, "Not found", &body)
    }

    fn sign_out(&self, caller: &Caller) -> String {
        format!(
            "<form method=\"post\" action=\"{PREFIX}{}\"><button name=\"decision\" value=\"sign_out\">Sign out</button>\
             <small>Signed in as {}</small></form>",
            escaped(self.id),
            escaped(&caller.principal.who.id)
        )
    }

    async fn show_to(&self, caller: &Caller) -> Response<Bytes> {
        let found = match self.store.approval(self.id).await {
            Ok(found) => found,
            Err(error) => return unavailable(&error),
        };
        match found {
            Some(one) if !one.policies_of(voter(caller)).is_empty() => {
                match self.store.similar_approvals(&one).await {
                    Ok(similar) => self.page(caller, &one, Some(&*similar)),
                    Err(error) => unavailable(&error),
                }
            }
            // Their client has sent them here.
            Some(one) if is_asker(caller, &one) => self.page(caller, &one, None),
            _ => self.absent(caller),
        }
    }

    /// The page of an approval: for those who decide, with what was decided about similar calls.
    fn page(
        &self,
        caller: &Caller,
        approval: &Approval,
        similar: Option<&[Similar]>,
    ) -> Response<Bytes> {
        let decides = similar.is_some();
        let (asker, subject) = (&approval.asker, &approval.subject);
        let state = approval.state_at(now());
        let until = Timestamp::from_second(approval.expires).unwrap_or_default().to_string();
        let who = match &asker.agent {
            Some(agent) => format!("{agent}, on behalf of {}", asker.id),
            None => asker.id.clone(),
        };
        let mut rows = vec![("Caller", who), ("Server", subject.server.clone())];
        rows.push(match &*subject.method {
            TOOLS_CALL | TASKS_UPDATE => ("Tool", subject.name.clone()),
            PROMPTS_GET => ("Prompt", subject.name.clone()),
            _ => ("Resource", subject.name.clone()),
        });
        if !asker.chain.is_empty() {
            rows.push(("Through", asker.chain.join(", ")));
        }
        rows.push(("Reason", approval.reason()));
        rows.push(("Held by", approval.held_by()));
        for (title, name) in [("Findings", "findings"), ("Data", "data"), ("Flow", "flow")] {
            if let Some(items) = subject.facts.get(name) {
                rows.push((title, items.join(", ")));
            }
        }
        rows.push(("Approvers", approval.approvers()));
        rows.push(("Until", until));
        for vote in &approval.votes {
            let reason = vote.reason.as_deref().map(|reason| format!(": {reason}"));
            let text = format!("{}{}", vote.by, reason.unwrap_or_default());
            rows.push((if vote.approves { "Approved by" } else { "Refused by" }, text));
            if !vote.edits.is_empty() {
                rows.push(("Edited", edited::in_words(&vote.edits)));
            }
        }
        for other in similar.unwrap_or_default() {
            let at = Timestamp::from_second(other.at).unwrap_or_default();
            rows.push(("Similar call", format!("{at}: {}", other.in_words())));
        }
        let rows: String = rows
            .iter()
            .map(|(name, text)| format!("<dt>{name}</dt><dd>{}</dd>", escaped(&visible(text))))
            .collect();
        let answers = subject.answers.as_deref().map(|answers| {
            format!("<p>Answers to the server</p><pre>{}</pre>", lines(&pretty(answers)))
        });
        let changed = changed(self.gateway, approval);
        let voted = approval.votes.iter().any(|vote| vote.by == caller.principal.who.id);
        let below = match (state, changed) {
            (State::Waiting, Some(why)) => {
                format!("<p class=\"warn\">This can no longer be approved: {}.</p>", escaped(why))
            }
            (State::Waiting, None) if !decides => {
                "<p>This call waits for its approvers. Send them this link.</p>".into()
            }
            (State::Waiting, None) if !voted => self.form(approval),
            (State::Waiting, None) => {
                "<p>You have approved it. Others must approve it, too.</p>".into()
            }
            (State::Taken, _) => "<p>This call is being made.</p>".into(),
            (state, _) => format!("<p>This call is {}.</p>", state.as_str()),
        };
        let title = if decides { "Approve this call?" } else { "Your call requires approval" };
        let body = format!(
            "<h1>{title}</h1><dl>{rows}</dl><p>Arguments</p><pre>{}</pre>{}{below}{}",
            lines(&pretty(&subject.arguments)),
            answers.unwrap_or_default(),
            self.sign_out(caller)
        );
        page::page(StatusCode::OK, "Approve a call", &body)
    }

    fn form(&self, approval: &Approval) -> String {
        let sealer = &self.gateway.shared.sealer;
        let sealed = sealer.seal(&self.id.to_owned(), &self.browser.id, HERE, Some(FORM));
        format!(
            "<form class=\"wide\" method=\"post\" action=\"{PREFIX}{}\">\
             <input type=\"hidden\" name=\"request\" value=\"{}\">{}\
             <label>Reason (optional)<input name=\"reason\" maxlength=\"500\" autocomplete=\"off\"></label>\
             <button class=\"yes\" name=\"decision\" value=\"approve\">Approve</button>\
             <button name=\"decision\" value=\"refuse\">Refuse</button></form>",
            escaped(self.id),
            escaped(&sealed),
            fields(approval, MASKED)
        )
    }

    async fn take(&self, form: &Form) -> Response<Bytes> {
        if browser::is_foreign(self.headers, self.origin()) {
            return browser::from_elsewhere();
        }
        let expired = || {
            let why = "This page has expired, or was opened in another browser";
            page::problem(StatusCode::BAD_REQUEST, why, "Open the link again.")
        };
        if browser::known(self.headers).is_none() || form.twice().is_some() {
            return expired();
        }
        let approves = match form.get("decision") {
            Some("sign_out") => {
                let mut response = browser::redirect(&format!("{PREFIX}{}", self.id));
                browser::set_approver(&mut response, "", Duration::ZERO);
                return response;
            }
            Some("sign_in") => {
                let key = form.get("key").unwrap_or_default().trim();
                let safe = self.origin().starts_with("https://") || self.peer.address.is_loopback();
                return match self.caller_with(key).await {
                    Some(_) if safe => {
                        with_credential(self.gateway, self.id, &self.browser.id, key)
                    }
                    _ => self.sign_in(StatusCode::FORBIDDEN, "The key is not valid"),
                };
            }
            Some("approve") => true,
            Some("refuse") => false,
            _ => return expired(),
        };
        let sealed = form.get("request").unwrap_or_default();
        let opened = self.gateway.shared.sealer.open::<String>(sealed, &self.browser.id, HERE);
        if opened.ok().as_deref() != Some(self.id) {
            return expired();
        }
        let Some(caller) = self.caller().await else { return expired() };
        let mut ballot = Ballot::new(approves, form.get("reason"));
        if approves {
            let found = match self.store.approval(self.id).await {
                Ok(Some(found)) => found,
                Ok(None) => return self.absent(&caller),
                Err(error) => return unavailable(&error),
            };
            match read(form, &found, MASKED) {
                Ok(edits) => ballot.edits = edits,
                Err(why) => {
                    return page::problem(StatusCode::BAD_REQUEST, &why, "Open the link again.");
                }
            }
        }
        self.decide(&caller, &ballot).await
    }

    async fn decide(&self, caller: &Caller, ballot: &Ballot<'_>) -> Response<Bytes> {
        let store = self.store.acting(Actor {
            via: "page",
            name: caller.principal.id.to_string(),
            address: caller.address.map(|address| address.to_string()),
        });
        let gateway = Some(self.gateway.as_ref());
        match decide(gateway, &store, voter(caller), self.id, ballot).await {
            Ok(approval) => {
                let then = match approval.state {
                    State::Waiting => "Others must approve it, too. You may close this page.",
                    State::Approved => {
                        "It runs when its caller makes it again. You may close this page."
                    }
                    _ => "You may close this page.",
                };
                let what = if ballot.approves {
                    "You have approved the call"
                } else {
                    "You have refused the call"
                };
                page::note(StatusCode::OK, what, then)
            }
            Err(Undecided::Refused(doorward_governance::approvals::Refused::NotAllowed)) => {
                self.absent(caller)
            }
            Err(Undecided::Refused(why)) => {
                page::problem(StatusCode::CONFLICT, &why.to_string(), "You may close this page.")
            }
            Err(why @ Undecided::Invalid(_)) => {
                page::problem(StatusCode::BAD_REQUEST, &why.to_string(), "Open the link again.")
            }
            Err(Undecided::Store(error)) => unavailable(&error),
        }
    }
}

/// Whether somebody has made the call, or an agent on their behalf.
fn is_asker(caller: &Caller, approval: &Approval) -> bool {
    let who = &caller.principal.who;
    who.kind == approval.asker.kind && who.id == approval.asker.id
}

fn voter(caller: &Caller) -> Voter<'_> {
    let principal = &caller.principal;
    let is_acted_for = principal.agent.is_some() || !principal.chain.is_empty();
    Voter::Person { who: &principal.who, is_acted_for }
}

fn unavailable(error: &doorward_store::Error) -> Response<Bytes> {
    tracing::error!(%error, "the store failed");
    let why = "The database of approvals is unavailable";
    page::problem(StatusCode::SERVICE_UNAVAILABLE, why, "Try again in a while.")
}

/// JSON as people read it.
fn pretty(json: &str) -> String {
    let value = serde_json::from_str::<serde_json::Value>(json);
    let text = value.and_then(|value| serde_json::to_string_pretty(&value));
    text.unwrap_or_else(|_| json.to_owned())
}

/// A text of several lines, escaped.
fn lines(text: &str) -> String {
    text.lines().map(|line| escaped(&visible(line))).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_approved_unseen() {
        assert_eq!(
            visible("a\u{200b}b\u{202e}c\u{7}\u{e0041}"),
            "a\\u{200b}b\\u{202e}c\\u{7}\\u{e0041}"
        );
        assert_eq!(lines("<b>\n\"x\u{200b}\""), "&lt;b&gt;\n&quot;x\\u{200b}&quot;");
    }
}
