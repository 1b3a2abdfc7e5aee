//! Converts acts and events of the audit log to webhook events.

use doorward_config::Settings;
use doorward_store::NewDelivery;
use serde_json::{Map, Value, json};

use super::EMAIL;
use super::feed::Noticed;
use super::message::approvers;

/// Maximum size of a body; longer ones are sent without details.
const LONGEST: usize = 32 << 10;

/// An event, before it is matched to webhooks.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub kind: &'static str,
    /// When it happened (RFC 3339).
    pub at: String,
    pub tenant: Option<String>,
    pub server: Option<String>,
    pub data: Map<String, Value>,
}

/// The kind of event that an act is reported as.
fn kind_of_act(act: &str) -> Option<&'static str> {
    Some(match act {
        "stop.set" => "stop.set",
        "stop.lift" => "stop.lifted",
        "approval.request" => "approval.waiting",
        // One vote of several required ones decides nothing yet.
        "approval.approve" | "approval.refuse" => "approval.decided",
        "request.open" => "request.opened",
        "request.grant" => "request.granted",
        "request.refuse" => "request.refused",
        "server.propose" => "server.proposed",
        "server.review_due" => "server.review_due",
        "server.quarantine" => "server.quarantined",
        "definition.drift" | "definition.quarantine" => "definition.drifted",
        "definition.suspicious" => "definition.suspicious",
        _ => return None,
    })
}

/// The kind of webhook event for an event that a process has noticed.
pub fn kind_of_event(name: &str) -> Option<&'static str> {
    Some(match name {
        "server.review_due" => "server.review_due",
        "server.quarantined" | "server.quarantine" => "server.quarantined",
        "definition.drift" | "definition.quarantine" => "definition.drifted",
        "definition.suspicious" => "definition.suspicious",
        "server.down" => "server.down",
        "server.up" => "server.up",
        "refusals.high" => "refusals.high",
        "credit.alert" => "budget.near",
        "export.behind" => "export.behind",
        "export.recovered" => "export.recovered",
        _ => return None,
    })
}

/// The state that an event is about, and its value: many gateways notice the same change, which is
/// reported once.
pub fn state_of(event: &Event) -> Option<(String, String)> {
    let text = |name: &str| event.data.get(name).and_then(Value::as_str).unwrap_or_default();
    let server = || format!("{}/{}", text("server"), text("replica"));
    Some(match event.kind {
        "server.down" => (format!("server/{}", server()), "down".into()),
        "server.up" => (format!("server/{}", server()), "up".into()),
        "export.behind" => (format!("export/{}", text("export")), "behind".into()),
        "export.recovered" => (format!("export/{}", text("export")), "works".into()),
        "server.review_due" => (format!("review/{}", text("server")), text("review_by").to_owned()),
        "definition.drifted" => (
            format!("drift/{}/{}/{}", server(), text("type"), text("name")),
            text("digest").to_owned(),
        ),
        "definition.suspicious" => (
            format!("suspicious/{}/{}/{}", text("server"), text("type"), text("name")),
            format!("{} {}", text("action"), text("digest")),
        ),
        "refusals.high" => ("refusals".into(), text("window").to_owned()),
        _ => return None,
    })
}

impl Event {
    /// From an act: a line of its chain.
    pub fn of_act(line: &str) -> Option<Self> {
        let Value::Object(mut act) = serde_json::from_str(line).ok()? else { return None };
        let kind = kind_of_act(act.get("act")?.as_str()?)?;
        let details = match act.remove("details") {
            Some(Value::Object(details)) => details,
            _ => Map::new(),
        };
        let text = |of: &Map<String, Value>, name: &str| {
            of.get(name).and_then(Value::as_str).map(str::to_owned)
        };
        if kind == "approval.decided"
            && details.get("state").and_then(Value::as_str) == Some("waiting")
        {
            return None;
        }
        let subject = text(&act, "subject");
        let stopped = text(&details, "name").filter(|_| kind.starts_with("stop."));
        let server = match text(&details, "kind").as_deref() {
            Some("server") => stopped.clone(),
            Some("tool" | "credential") => stopped.clone().map(|name| match name.split_once('/') {
                Some((server, _)) => server.to_owned(),
                None => name,
            }),
            _ => None,
        };
        let tenant = match text(&details, "kind").as_deref() {
            Some("tenant") => stopped,
            _ => None,
        };
        let of_server = kind.starts_with("server.") || kind.starts_with("definition.");
        let at = text(&act, "at").unwrap_or_default();
        let mut data = details;
        let server = server
            .or_else(|| text(&data, "server"))
            .or_else(|| subject.clone().filter(|_| of_server));
        let tenant = tenant.or_else(|| text(&data, "tenant"));
        if let Some(subject) = subject {
            data.insert(
                if kind.starts_with("stop.") { "stop" } else { "subject" }.into(),
                subject.into(),
            );
        }
        data.extend(act.remove("actor").map(|actor| ("actor".to_owned(), actor)));
        Some(Self { kind, at, tenant, server, data })
    }

    /// From an event of this process.
    pub fn of_noticed(noticed: &Noticed) -> Option<Self> {
        let kind = kind_of_event(&noticed.name)?;
        let members = format!("{{{}}}", noticed.members);
        let Value::Object(mut data) = serde_json::from_str(&members).ok()? else { return None };
        let mut take = |name: &str| match data.remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        };
        let at = take("at").unwrap_or_default();
        take("event");
        take("class");
        let text = |name: &str| data.get(name).and_then(Value::as_str).map(str::to_owned);
        Some(Self { kind, at, tenant: text("tenant"), server: text("server"), data })
    }

    /// The request body, byte for byte.
    pub fn body(&self) -> String {
        let of = |data: &Map<String, Value>| {
            json!({ "type": self.kind, "timestamp": self.at, "data": data }).to_string()
        };
        let body = of(&self.data);
        if body.len() <= LONGEST {
            return body;
        }
        let mut short = Map::new();
        short.extend(self.server.as_ref().map(|server| ("server".to_owned(), json!(server))));
        short.extend(self.tenant.as_ref().map(|tenant| ("tenant".to_owned(), json!(tenant))));
        short.insert("shortened".into(), true.into());
        of(&short)
    }

    /// The event for each webhook that wants it, and for each address.
    pub fn deliveries(&self, settings: &Settings) -> Vec<NewDelivery> {
        let (tenant, server) = (self.tenant.as_deref(), self.server.as_deref());
        let wanting =
            settings.webhooks.iter().filter(|(_, it)| it.wants(self.kind, tenant, server));
        let mut receivers: Vec<String> = wanting.map(|(name, _)| name.clone()).collect();
        if let Some(email) =
            settings.email.as_ref().filter(|it| it.wants(self.kind, tenant, server))
        {
            let approvers = approvers(self.kind, &self.data);
            let approvers: Vec<&str> = approvers.iter().map(String::as_str).collect();
            let addresses = email.receivers(&approvers);
            receivers.extend(addresses.iter().map(|address| format!("{EMAIL}{address}")));
        }
        let to = |webhook| NewDelivery { webhook, kind: self.kind.into(), body: self.body() };
        receivers.into_iter().map(to).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_tells_what_is_stopped_why_and_by_whom() {
        let line = r#"{"seq":3,"kind":"act","class":"acts","at":"2026-01-02T03:04:05Z","act":"stop.set","subject":"ab12",
            "actor":{"via":"command","name":"dana"},"details":{"kind":"tool","name":"mail/send","why":"leak","mode":"cancel"}}"#;
        let event = Event::of_act(line).unwrap();
        assert_eq!((event.kind, event.server.as_deref()), ("stop.set", Some("mail")));
        let body: Value = serde_json::from_str(&event.body()).unwrap();
        assert_eq!(body["type"], "stop.set");
        assert_eq!(body["timestamp"], "2026-01-02T03:04:05Z");
        assert_eq!(body["data"]["stop"], "ab12");
        assert_eq!(body["data"]["why"], "leak");
        assert_eq!(body["data"]["actor"]["name"], "dana");
        let tenant = line.replace("tool", "tenant").replace("mail/send", "acme");
        let event = Event::of_act(&tenant).unwrap();
        assert_eq!((event.server, event.tenant.as_deref()), (None, Some("acme")));
        assert!(Event::of_act(&line.replace("stop.set", "key.create")).is_none());
        assert!(Event::of_act("nonsense").is_none());
    }

    #[test]
    fn an_act_on_a_server_is_about_that_server() {
        let line =
            r#"{"at":"t","act":"server.propose","subject":"mail","details":{"tenant":"acme"}}"#;
        let event = Event::of_act(line).unwrap();
        assert_eq!(event.kind, "server.proposed");
        assert_eq!(
            (event.server.as_deref(), event.tenant.as_deref()),
            (Some("mail"), Some("acme"))
        );
    }

    #[test]
    fn a_request_for_access_is_reported_with_its_decision() {
        let line = r#"{"at":"t","act":"request.open","subject":"ab","details":{"asks_for":"server","name":"mail","tenant":"acme"}}"#;
        let event = Event::of_act(line).unwrap();
        assert_eq!((event.kind, event.tenant.as_deref()), ("request.opened", Some("acme")));
        assert_eq!(event.server, None, "whether there is one of this name is not known");
        for (act, kind) in [("grant", "request.granted"), ("refuse", "request.refused")] {
            let event = Event::of_act(&line.replace("open", act)).unwrap();
            assert_eq!(event.kind, kind);
        }
        assert!(Event::of_act(&line.replace("open", "withdraw")).is_none());
    }

    #[test]
    fn what_is_too_long_is_sent_without_its_details() {
        let mut event = Event {
            kind: "server.down",
            at: "t".into(),
            tenant: None,
            server: Some("mail".into()),
            data: Map::new(),
        };
        event.data.insert("error".into(), "x".repeat(LONGEST).into());
        let body = event.body();
        assert!(body.len() < 200 && body.contains("mail") && body.contains("shortened"), "{body}");
    }

    #[test]
    fn the_same_state_has_one_name() {
        let noticed = |name: &str| Noticed {
            name: name.into(),
            members: r#""class":"events","at":"t","event":"x","server":"mail","error":"timeout""#
                .into(),
        };
        let down = Event::of_noticed(&noticed("server.down")).unwrap();
        let up = Event::of_noticed(&noticed("server.up")).unwrap();
        let (down_state, up_state) = (state_of(&down).unwrap(), state_of(&up).unwrap());
        assert_eq!(down_state.0, up_state.0);
        assert_ne!(down_state.1, up_state.1);
        assert!(!down.body().contains("\"event\"") && down.body().contains("timeout"));
        assert!(Event::of_noticed(&noticed("session.open")).is_none());
    }
}
