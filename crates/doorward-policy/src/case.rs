//! Tests of policies, written beside them: a short request, and the expected decision.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::compile::PolicySet;
use crate::decide::{Decision, Verdict};
use crate::request::{
    Action, Arguments, Client, Context, Conversation, Facts, Principal, PrincipalKind, Request,
    Target, TargetKind, Time,
};

/// One test.
#[derive(Debug, Clone, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Case {
    /// What is tested, in words.
    pub name: String,
    /// One of these three is who asks; an agent beside a user acts for the user.
    pub user: Option<String>,
    pub agent: Option<String>,
    pub service_account: Option<String>,
    pub tenant: Option<String>,
    pub teams: BTreeSet<String>,
    pub roles: BTreeSet<String>,
    pub chain: Vec<String>,
    /// When absent: what one does with the target.
    pub action: Option<Action>,
    /// One of these is asked for: `server/name`, `server/uri`, or a name.
    pub tool: Option<String>,
    pub prompt: Option<String>,
    pub resource: Option<String>,
    pub server: Option<String>,
    pub portal: Option<String>,
    /// A tenant as what is administered.
    pub of_tenant: Option<String>,
    pub gateway: bool,
    pub write: Option<bool>,
    pub environment: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data_classes: Option<BTreeSet<String>>,
    pub owner: Option<String>,
    pub risk: Option<String>,
    pub tags: BTreeSet<String>,
    /// Flow rules of the target: the labels of what it returns, whether it is a sink (default: no), and whether it interacts
    /// with systems of others (default: yes).
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub brings: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sink: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_world: Option<bool>,
    pub arguments: Map<String, Value>,
    /// Only whether it is listed.
    pub listed: bool,
    /// Such as `mon 09:30`; Monday at noon when absent.
    pub time: Option<String>,
    pub address: Option<IpAddr>,
    pub client: Option<String>,
    pub revision: Option<String>,
    pub protocol: Option<String>,
    pub through: Option<String>,
    pub authentication: Option<String>,
    pub credential: Option<String>,
    /// What the gateway has learnt: `findings`, `data`, `flow`, `conversation`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub findings: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub data: BTreeSet<String>,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub flow: BTreeSet<String>,
    pub conversation: Conversation,
    pub expect: Expected,
    /// The policies that must have decided, all of them.
    pub policies: Option<BTreeSet<String>>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Expected {
    Allow,
    #[default]
    Deny,
    /// Held until somebody has approved it.
    Approval,
}

/// A test that did not come out as expected.
#[derive(Debug)]
pub struct Failed {
    pub why: String,
    pub decision: Option<Box<Decision>>,
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Case {
    /// Runs the test.
    pub fn run(&self, policies: &PolicySet) -> Result<Decision, Failed> {
        let request = self.request().map_err(|why| Failed { why, decision: None })?;
        let decision = policies.decide(&request);
        let came = match decision.verdict {
            Verdict::Allow | Verdict::Depends => Expected::Allow,
            Verdict::Hold if self.listed => Expected::Allow,
            Verdict::Hold => Expected::Approval,
            Verdict::Deny => Expected::Deny,
        };
        let word = |expected| match expected {
            Expected::Allow => "allow",
            Expected::Deny => "deny",
            Expected::Approval => "approval",
        };
        if came != self.expect {
            let why = format!("expected {}, got {}", word(self.expect), word(came));
            return Err(Failed { why, decision: Some(Box::new(decision)) });
        }
        let deciding: BTreeSet<&str> =
            decision.policies.iter().map(|policy| policy.id.as_str()).collect();
        if let Some(named) = &self.policies
            && !named.iter().map(String::as_str).eq(deciding.iter().copied())
        {
            let why = format!("expected the policies {named:?} to decide, not {deciding:?}");
            return Err(Failed { why, decision: Some(Box::new(decision)) });
        }
        Ok(decision)
    }

    /// The request that the test describes.
    pub fn request(&self) -> Result<Request, String> {
        let (kind, id, agent) = match (&self.user, &self.agent, &self.service_account) {
            (Some(user), agent, None) => (PrincipalKind::User, user, agent.clone()),
            (None, Some(agent), None) => (PrincipalKind::Agent, agent, None),
            (None, None, Some(account)) => (PrincipalKind::ServiceAccount, account, None),
            _ => {
                return Err("set one of 'user', 'agent' and 'service_account' as the caller".into());
            }
        };
        let target = self.target()?;
        let action = self.action.unwrap_or(match target.kind {
            TargetKind::Tool => Action::Call,
            TargetKind::Prompt => Action::Get,
            TargetKind::Resource => Action::Read,
            TargetKind::Server | TargetKind::Portal => Action::List,
            TargetKind::Tenant | TargetKind::Gateway => Action::View,
        });
        let arguments =
            if self.listed { Arguments::Any } else { Arguments::Known(self.arguments.clone()) };
        let (name, version) = match self.client.as_deref().unwrap_or_default().split_once('/') {
            Some((name, version)) => (name.to_owned(), version.to_owned()),
            None => (self.client.clone().unwrap_or_default(), String::new()),
        };
        let or = |text: &Option<String>, default: &str| {
            text.clone().unwrap_or_else(|| default.to_owned())
        };
        Ok(Request {
            principal: Principal {
                kind,
                id: id.clone(),
                tenant: self.tenant.clone(),
                teams: self.teams.clone(),
                roles: self.roles.clone(),
            },
            action,
            target,
            context: Context {
                arguments,
                time: self.moment()?,
                agent,
                chain: self.chain.clone(),
                address: self.address,
                client: Client { name, version },
                revision: or(&self.revision, "2026-07-28"),
                protocol: or(&self.protocol, "mcp"),
                portal: or(&self.through, ""),
                authentication: or(&self.authentication, "key"),
                credential: or(&self.credential, "none"),
                facts: Facts {
                    findings: self.findings.clone(),
                    data: self.data.clone(),
                    flow: self.flow.clone(),
                    conversation: self.conversation.clone(),
                },
            },
        })
    }

    fn target(&self) -> Result<Target, String> {
        let named = [
            (TargetKind::Tool, &self.tool),
            (TargetKind::Prompt, &self.prompt),
            (TargetKind::Resource, &self.resource),
            (TargetKind::Server, &self.server),
            (TargetKind::Portal, &self.portal),
            (TargetKind::Tenant, &self.of_tenant),
        ];
        let gateway = self.gateway.then_some((TargetKind::Gateway, ""));
        let mut named = named
            .into_iter()
            .filter_map(|(kind, name)| Some((kind, name.as_deref()?)))
            .chain(gateway);
        let (Some((kind, name)), None) = (named.next(), named.next()) else {
            let all =
                "'tool', 'prompt', 'resource', 'server', 'portal', 'of_tenant' and 'gateway: true'";
            return Err(format!("set one of {all} as the target"));
        };
        let target = match kind {
            TargetKind::Tool | TargetKind::Prompt | TargetKind::Resource => {
                let (server, own) = name
                    .split_once('/')
                    .ok_or_else(|| format!("'{name}': expected the server, '/' and the name"))?;
                Target::new(kind, server, own)
            }
            TargetKind::Server => Target::new(kind, name, ""),
            TargetKind::Portal | TargetKind::Tenant | TargetKind::Gateway => {
                Target::new(kind, "", name)
            }
        };
        Ok(Target {
            write: self.write.unwrap_or(true),
            environment: self.environment.clone(),
            region: self.region.clone(),
            data_classes: self.data_classes.clone(),
            owner: self.owner.clone(),
            risk: self.risk.clone(),
            tags: self.tags.clone(),
            brings: self.brings.clone(),
            sink: self.sink.unwrap_or(false),
            open_world: self.open_world.unwrap_or(true),
            ..target
        })
    }

    fn moment(&self) -> Result<Time, String> {
        let text = self.time.as_deref().unwrap_or("mon 12:00");
        let read = || {
            let (day, clock) = text.split_once(' ')?;
            let (hour, minute) = clock.split_once(':')?;
            let (hour, minute) = (hour.parse().ok()?, minute.parse().ok()?);
            (DAYS.contains(&day) && hour < 24 && minute < 60).then(|| Time {
                weekday: day.into(),
                hour,
                minute,
                ..Time::default()
            })
        };
        read().ok_or_else(|| format!("'{text}': expected a day and a time, such as 'mon 09:30'"))
    }
}
