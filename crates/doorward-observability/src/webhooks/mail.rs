//! One attempt to send an event as an email (RFC 5321), over TLS verified against the system's
//! certificate authorities.

use doorward_config::{EmailSettings, EmailTls, MAIL_PATIENCE};
use doorward_net::tls::cause_chain;
use doorward_store::Delivery;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Mailbox, Message as Mail};
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Tls, TlsParameters};
use lettre::{Address, AsyncSmtpTransport, AsyncTransport, Tokio1Executor};

use super::message::Message;

/// Sends an email to one address. The error says what has failed, without the password.
pub async fn send(
    settings: &EmailSettings,
    address: &str,
    delivery: &Delivery,
    origin: &str,
) -> Result<(), String> {
    let message = Message::of(&delivery.kind, &delivery.body, origin);
    let mail = mail(settings, address, &delivery.id, &message)?;
    let sending = async {
        let transport = transport(settings)?;
        transport.send(mail).await.map(drop).map_err(|error| cause_chain(&error))
    };
    let done = tokio::time::timeout(MAIL_PATIENCE, sending).await;
    done.map_err(|_| format!("no answer within {} s", MAIL_PATIENCE.as_secs()))?
}

fn transport(settings: &EmailSettings) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let parameters = || TlsParameters::new(settings.server.clone()).map_err(|it| cause_chain(&it));
    let tls = match settings.tls {
        EmailTls::Starttls => Tls::Required(parameters()?),
        EmailTls::Implicit => Tls::Wrapper(parameters()?),
        EmailTls::None => Tls::None,
    };
    let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&*settings.server)
        .port(settings.port())
        .tls(tls)
        .timeout(Some(MAIL_PATIENCE));
    if let (Some(user), Some(password)) = (&settings.user, &settings.password) {
        builder = builder.credentials(Credentials::new(user.clone(), password.expose().to_owned()));
    }
    Ok(builder.build())
}

fn mail(settings: &EmailSettings, to: &str, id: &str, message: &Message) -> Result<Mail, String> {
    let parse = |text: &str| -> Result<Address, String> {
        text.parse().map_err(|error| format!("'{text}' is not an e-mail address: {error}"))
    };
    let from = parse(&settings.from)?;
    let host = from.domain().to_owned();
    let mut mail = Mail::builder()
        .from(Mailbox::new(Some("Doorward".into()), from))
        .to(Mailbox::new(None, parse(to)?))
        .subject(message.title.clone())
        // The same for every attempt, so that duplicates can be recognized.
        .message_id(Some(format!("<{id}@{host}>")))
        .header(ContentType::TEXT_PLAIN)
        .body(message.text())
        .map_err(|error| cause_chain(&error))?;
    // Suppresses automatic replies (RFC 3834).
    let name = HeaderName::new_from_ascii_str("Auto-Submitted");
    mail.headers_mut().insert_raw(HeaderValue::new(name, "auto-generated".into()));
    Ok(mail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_an_event_becomes_a_header() {
        let settings: EmailSettings = serde_json::from_value(serde_json::json!({
            "server": "localhost", "from": "doorward@example.com", "to": ["ops@example.com"]
        }))
        .unwrap();
        let body = serde_json::json!({ "data": { "subject": "ab", "server": "x", "name": "a\r\nBcc: b@x.org" } });
        let message = Message::of("approval.waiting", &body.to_string(), "https://x");
        let mail = mail(&settings, "ops@example.com", "msg_1", &message).unwrap();
        let text = String::from_utf8(mail.formatted()).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(!head.to_ascii_lowercase().contains("\r\nbcc:"), "{head}");
        for part in [
            "Message-ID: <msg_1@example.com>",
            "Auto-Submitted: auto-generated",
            "To: ops@example.com",
        ] {
            assert!(head.contains(part), "{head}");
        }
        assert!(body.contains("https://x/approvals/ab"), "{body}");
    }
}
