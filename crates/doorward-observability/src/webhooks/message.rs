//! Events as messages for people: for Slack, for Microsoft Teams, and as plain text for email. They
//! contain text from callers and servers, so none of it is ever interpreted as markup.

use doorward_config::EVENT_KINDS;
use doorward_mcp::display::is_harmful;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Maximum number of facts in a message, and maximum length of a text and of the title, in
/// characters. Slack displays ten fields of a section, of 2,000 characters each, and a header of
/// 150.
const MOST_FACTS: usize = 10;
const LONGEST_FACT: usize = 500;
const LONGEST_TITLE: usize = 140;

/// The content of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    pub title: String,
    /// Names and texts, without line ends.
    pub facts: Vec<(String, String)>,
    /// A link: its text and a URL of the gateway.
    pub link: Option<(&'static str, String)>,
}

/// One line of limited length, with invisible characters escaped.
fn line(text: &str, most: usize) -> String {
    let mut out = String::new();
    for (at, letter) in text.chars().enumerate() {
        if at == most {
            out.push('…');
            break;
        }
        match letter {
            '\n' | '\r' | '\t' => out.push(' '),
            _ if letter.is_control() || is_harmful(letter) => {
                out.push_str(&letter.escape_unicode().to_string());
            }
            _ => out.push(letter),
        }
    }
    out
}

/// A value as text; `None` if it has no readable form.
fn in_words(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Array(items) => {
            let all: Vec<String> = items.iter().filter_map(in_words).collect();
            Some(all.join(", "))
        }
        Value::Object(members) => {
            let all: Vec<String> = members.values().filter_map(in_words).collect();
            Some(all.join(" "))
        }
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
    }
}

impl Message {
    /// Builds the message for an event's body. `origin` is the gateway's URL for browsers, such as
    /// `https://mcp.example.com`.
    pub fn of(kind: &str, body: &str, origin: &str) -> Self {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let data = body["data"].as_object().cloned().unwrap_or_default();
        let told = EVENT_KINDS.iter().find(|(name, _)| *name == kind).map(|(_, told)| *told);
        let told = told.unwrap_or(kind);
        let (facts, link, title) = match kind {
            "approval.waiting" | "approval.decided" => approval(kind, &data, origin),
            _ => (facts_of(&data), None, told.to_owned()),
        };
        let facts = facts.into_iter().filter(|(_, text)| !text.is_empty()).take(MOST_FACTS);
        let facts = facts.map(|(name, text)| (line(&name, 50), line(&text, LONGEST_FACT)));
        let mut title = line(&title, LONGEST_TITLE);
        if let Some(first) = title.get(..1) {
            title.replace_range(..1, &first.to_ascii_uppercase());
        }
        Self { title, facts: facts.collect(), link }
    }

    /// For an incoming webhook of Slack: blocks, and a text for notifications
    /// (<https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks>).
    pub fn slack(&self) -> Value {
        let plain = |text: &str| json!({ "type": "plain_text", "text": text, "emoji": false });
        let mut blocks = vec![json!({ "type": "header", "text": plain(&self.title) })];
        if !self.facts.is_empty() {
            let field = |(name, text): &(String, String)| plain(&format!("{name}: {text}"));
            let fields: Vec<Value> = self.facts.iter().map(field).collect();
            blocks.push(json!({ "type": "section", "fields": fields }));
        }
        if let Some((text, url)) = &self.link {
            let link = format!("<{}|{text}>", escaped(url));
            blocks.push(json!({ "type": "section", "text": { "type": "mrkdwn", "text": link } }));
        }
        json!({ "text": escaped(&self.title), "blocks": blocks })
    }

    /// For a workflow of Microsoft Teams that is started by a webhook: an Adaptive Card whose texts are no Markdown
    /// (<https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/connectors-using>).
    pub fn teams(&self) -> Value {
        let run = |text: &str, bold: bool| {
            let weight = if bold { "bolder" } else { "default" };
            json!({ "type": "TextRun", "text": text, "weight": weight })
        };
        let mut title = run(&self.title, true);
        title["size"] = "large".into();
        let mut body = vec![json!({ "type": "RichTextBlock", "inlines": [title] })];
        for (name, text) in &self.facts {
            let inlines = [run(&format!("{name}: "), true), run(text, false)];
            body.push(json!({ "type": "RichTextBlock", "inlines": inlines, "spacing": "small" }));
        }
        let mut card = json!({
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "body": body,
        });
        if let Some((text, url)) = &self.link {
            card["actions"] = json!([{ "type": "Action.OpenUrl", "title": text, "url": url }]);
        }
        let kind = "application/vnd.microsoft.card.adaptive";
        json!({ "type": "message",
                "attachments": [{ "contentType": kind, "contentUrl": null, "content": card }] })
    }

    /// As plain text.
    pub fn text(&self) -> String {
        let mut text = format!("{}\n\n", self.title);
        for (name, fact) in &self.facts {
            text.push_str(&format!("{name}: {fact}\n"));
        }
        if let Some((what, url)) = &self.link {
            text.push_str(&format!("\n{what}:\n{url}\n"));
        }
        text
    }
}

/// Escapes Slack's markup.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

type Parts = (Vec<(String, String)>, Option<(&'static str, String)>, String);

fn approval(kind: &str, data: &Map<String, Value>, origin: &str) -> Parts {
    let text = |name: &str| data.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let caller = match text("agent") {
        agent if agent.is_empty() => text("asker"),
        agent => format!("{agent}, on behalf of {}", text("asker")),
    };
    let until = data.get("expires").and_then(Value::as_i64).map(Timestamp::from_second);
    let until = until.and_then(Result::ok).map(|at| at.to_string()).unwrap_or_default();
    let named = format!("{}/{}", text("server"), text("name"));
    let waits = kind == "approval.waiting";
    let mut facts = vec![
        ("Caller", caller),
        ("Server", text("server")),
        ("Name", text("name")),
        ("Reason", text("reason")),
    ];
    if waits {
        facts.extend([("Approvers", text("approvers")), ("Until", until)]);
    } else {
        facts.extend([("By", text("by")), ("Why", text("why"))]);
    }
    let facts = facts.into_iter().map(|(name, text)| (name.to_owned(), text)).collect();
    let id = text("subject");
    let is_id = !id.is_empty() && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    let link = is_id.then(|| ("Open the approval", format!("{origin}/approvals/{id}")));
    let title = match waits {
        true => format!("a call of {named} waits for approval"),
        false => format!("a call of {named} was {}", text("state")),
    };
    (facts, link, title)
}

/// The data of any other event, unchanged.
fn facts_of(data: &Map<String, Value>) -> Vec<(String, String)> {
    let all = data.iter().filter_map(|(name, value)| Some((name.clone(), in_words(value)?)));
    all.collect()
}

/// The approvers, as policies name them, for an event about a call that waits for approval.
pub fn approvers(kind: &str, data: &Map<String, Value>) -> Vec<String> {
    if kind != "approval.waiting" {
        return Vec::new();
    }
    let named = data.get("may_approve").and_then(Value::as_array);
    let names = named.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    names.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waiting() -> Message {
        let data = json!({ "subject": "ab12", "server": "pay", "name": "<!channel> *send*\u{202e}\nnow",
            "asker": "ann", "agent": "bot", "reason": "[click](http://evil)", "expires": 1_772_602_567,
            "approvers": "role:lead", "may_approve": ["role:lead"] });
        let body = json!({ "type": "approval.waiting", "data": data }).to_string();
        Message::of("approval.waiting", &body, "https://mcp.example.com")
    }

    #[test]
    fn a_message_links_to_the_page_and_has_no_markup_of_others() {
        let message = waiting();
        assert_eq!(
            message.title,
            "A call of pay/<!channel> *send*\\u{202e} now waits for approval"
        );
        let slack = message.slack();
        assert_eq!(
            slack["text"],
            "A call of pay/&lt;!channel&gt; *send*\\u{202e} now waits for approval"
        );
        let blocks = slack["blocks"].as_array().unwrap();
        assert_eq!(
            (&blocks[0]["type"], &blocks[0]["text"]["type"]),
            (&json!("header"), &json!("plain_text"))
        );
        let fields = blocks[1]["fields"].as_array().unwrap();
        assert!(fields.iter().all(|field| field["type"] == "plain_text") && fields.len() <= 10);
        assert_eq!(fields[0]["text"], "Caller: bot, on behalf of ann");
        let link = "<https://mcp.example.com/approvals/ab12|Open the approval>";
        assert_eq!(blocks[2]["text"], json!({ "type": "mrkdwn", "text": link }));
        let teams = message.teams();
        let card = &teams["attachments"][0]["content"];
        assert_eq!((&teams["type"], &card["type"]), (&json!("message"), &json!("AdaptiveCard")));
        assert_eq!(card["actions"][0]["url"], "https://mcp.example.com/approvals/ab12");
        // Text runs are never Markdown; text blocks are.
        assert!(
            !card.to_string().contains("TextBlock\",\"text")
                && !card.to_string().contains("FactSet")
        );
        let text = message.text();
        assert!(text.contains("Until: 2026-03-04T05:36:07Z\n"), "{text}");
        assert!(
            text.ends_with("Open the approval:\nhttps://mcp.example.com/approvals/ab12\n"),
            "{text}"
        );
    }

    #[test]
    fn any_event_is_a_message_within_its_bounds() {
        for (kind, told) in EVENT_KINDS {
            let data: Map<String, Value> =
                (0..40).map(|at| (format!("n{at}"), json!("x".repeat(5_000)))).collect();
            let body = json!({ "type": kind, "data": data }).to_string();
            let message = Message::of(kind, &body, "https://x");
            if !kind.starts_with("approval.") {
                assert!(message.title.eq_ignore_ascii_case(told), "{}", message.title);
                assert_eq!(message.facts.len(), MOST_FACTS);
            }
            assert!(message.slack().to_string().len() < 10_000);
            assert!(message.teams().to_string().len() < 25_000);
        }
        let nothing = Message::of("stop.set", "{}", "https://x");
        assert!(nothing.facts.is_empty() && nothing.link.is_none());
        assert_eq!(nothing.slack()["blocks"].as_array().unwrap().len(), 1);
    }
}
