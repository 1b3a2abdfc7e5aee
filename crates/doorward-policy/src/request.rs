//! A request: everything that a decision depends on, in one value that can be stored.

use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// May this principal do this to that, now?
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    pub principal: Principal,
    pub action: Action,
    pub target: Target,
    pub context: Context,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrincipalKind {
    User,
    Agent,
    ServiceAccount,
}

/// Who asks. Where an agent acts for a user, the user; the agent is in the context.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Principal {
    pub kind: PrincipalKind,
    pub id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub teams: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub roles: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    List,
    Call,
    Get,
    Read,
    Subscribe,
    Complete,
    View,
    Propose,
    Review,
    Approve,
    Operate,
    ManageIdentities,
    MintKeys,
    ChangePolicy,
    ReadAudit,
    ReadPayloads,
    HoldAudit,
    Bill,
    Stop,
}

impl Action {
    /// What callers do: `Action::"use"`.
    pub const USE: [Self; 6] =
        [Self::List, Self::Call, Self::Get, Self::Read, Self::Subscribe, Self::Complete];

    /// What administrators do: `Action::"administer"`.
    pub const ADMINISTER: [Self; 13] = [
        Self::View,
        Self::Propose,
        Self::Review,
        Self::Approve,
        Self::Operate,
        Self::ManageIdentities,
        Self::MintKeys,
        Self::ChangePolicy,
        Self::ReadAudit,
        Self::ReadPayloads,
        Self::HoldAudit,
        Self::Bill,
        Self::Stop,
    ];

    pub fn all() -> impl Iterator<Item = Self> {
        Self::USE.into_iter().chain(Self::ADMINISTER)
    }

    pub fn is_administrative(self) -> bool {
        !Self::USE.contains(&self)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::List => "list",
            Self::Call => "call",
            Self::Get => "get",
            Self::Read => "read",
            Self::Subscribe => "subscribe",
            Self::Complete => "complete",
            Self::View => "view",
            Self::Propose => "propose",
            Self::Review => "review",
            Self::Approve => "approve",
            Self::Operate => "operate",
            Self::ManageIdentities => "manage_identities",
            Self::MintKeys => "mint_keys",
            Self::ChangePolicy => "change_policy",
            Self::ReadAudit => "read_audit",
            Self::ReadPayloads => "read_payloads",
            Self::HoldAudit => "hold_audit",
            Self::Bill => "bill",
            Self::Stop => "stop",
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TargetKind {
    Tool,
    Prompt,
    Resource,
    Server,
    Portal,
    Tenant,
    Gateway,
}

/// What something is asked to be done to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Target {
    pub kind: TargetKind,
    /// Empty for portals, tenants and the gateway.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub server: String,
    /// The server's own name for a tool or prompt, the URI of a resource; the name of a portal or tenant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub environment: Option<String>,
    /// Where it processes data, where that is one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Classes of data that it may receive; `None` for any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data_classes: Option<BTreeSet<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub risk: Option<String>,
    /// For tools: may change something.
    #[serde(default = "yes")]
    pub write: bool,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub tags: BTreeSet<String>,
    /// Labels of what it returns.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub brings: BTreeSet<String>,
    /// It has effects outside: it sends, writes, pays or publishes.
    #[serde(default)]
    pub sink: bool,
    /// It interacts with systems of others. What does not say is taken to.
    #[serde(default = "yes")]
    pub open_world: bool,
}

fn yes() -> bool {
    true
}

impl Target {
    pub fn new(kind: TargetKind, server: &str, name: &str) -> Self {
        Self {
            kind,
            server: server.into(),
            name: name.into(),
            environment: None,
            region: None,
            data_classes: None,
            owner: None,
            risk: None,
            write: true,
            tags: BTreeSet::new(),
            brings: BTreeSet::new(),
            sink: false,
            open_world: true,
        }
    }

    /// As policies name it.
    pub fn id(&self) -> String {
        match self.kind {
            TargetKind::Tool | TargetKind::Prompt | TargetKind::Resource => {
                format!("{}/{}", self.server, self.name)
            }
            TargetKind::Server => self.server.clone(),
            TargetKind::Portal | TargetKind::Tenant => self.name.clone(),
            TargetKind::Gateway => "doorward".into(),
        }
    }
}

/// The arguments of a call, or the question whether any would do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arguments {
    Known(Map<String, Value>),
    /// For lists: is there a call that would be permitted?
    Any,
}

impl Default for Arguments {
    fn default() -> Self {
        Self::Known(Map::new())
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Client {
    pub name: String,
    pub version: String,
}

/// A moment, as a clock on the wall of the configured zone shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Time {
    /// `mon` to `sun`.
    pub weekday: String,
    pub hour: u8,
    pub minute: u8,
    /// `2026-07-28`.
    pub date: String,
    /// Seconds since 1970.
    pub unix: i64,
}

impl Default for Time {
    fn default() -> Self {
        Self { weekday: "thu".into(), hour: 0, minute: 0, date: "1970-01-01".into(), unix: 0 }
    }
}

/// What the gateway has learnt of a call before policies are asked: what its arguments contain, what its caller carries.
/// Empty for lists, which show what could be called by somebody who carries nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Facts {
    /// Ids of the signals that were found in the arguments.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub findings: BTreeSet<String>,
    /// Classes of the data that was found in the arguments, such as `email`.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub data: BTreeSet<String>,
    /// Labels of what the caller has been told in this conversation.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    pub flow: BTreeSet<String>,
    pub conversation: Conversation,
}

/// Counts of a conversation, this call included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Conversation {
    pub calls: i64,
    /// Equal calls in a row.
    pub repeated: i64,
    /// How many agents act for each other on the way to here.
    pub depth: i64,
    /// What its calls have cost, in thousandths of a credit.
    pub cost: i64,
}

/// What else a decision may depend on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Context {
    pub arguments: Arguments,
    pub time: Time,
    /// Who acts for the principal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub chain: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    pub client: Client,
    pub revision: String,
    pub protocol: String,
    pub portal: String,
    pub authentication: String,
    pub credential: String,
    #[serde(flatten)]
    pub facts: Facts,
}
