//! Approval by people: annotations by which a policy that forbids holds a call until somebody has approved it.

use cedar_policy::{ActionConstraint, Policy};
use serde::{Deserialize, Serialize};

use crate::entities::{action_uid, group_of};
use crate::request::{Action, Principal, PrincipalKind};

const APPROVAL: &str = "approval";
const TTL: &str = "approval_ttl";
const BY: &str = "approval_by";
const REMEMBER: &str = "approval_remember";
const SELF: &str = "approval_self";
const EDIT: &str = "approval_edit";

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// How long a request waits for its approval unless the policy says otherwise, in seconds.
const USUAL_TTL: i64 = HOUR;
/// The longest time, in seconds, that a request waits and that a decision is remembered.
const LONGEST: i64 = 7 * DAY;
/// Most approvers that a policy names, people that it requires, and bytes of a name.
const MOST_APPROVERS: usize = 20;
const MOST_PEOPLE: u8 = 5;
const LONGEST_NAME: usize = 200;
/// Most arguments that a policy lets approvers edit.
const MOST_EDITED: usize = 20;

/// Who may approve: an item of `@approval`, written as `role:lead`, `team:ops` or `user:dana`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Approver {
    User(String),
    Team(String),
    Role(String),
}

impl Approver {
    fn read(text: &str) -> Result<Self, String> {
        let (kind, name) = text.split_once(':').unwrap_or_default();
        let name = name.trim();
        let is_stray = |letter: char| letter.is_control() || letter == ',';
        if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(is_stray) {
            return Err(format!(
                "'{text}': expected 'role:NAME', 'team:NAME' or 'user:NAME', separated by commas"
            ));
        }
        match kind.trim() {
            "user" => Ok(Self::User(name.into())),
            "team" => Ok(Self::Team(name.into())),
            "role" => Ok(Self::Role(name.into())),
            other => Err(format!("'{other}': approvers are roles, teams and users")),
        }
    }

    /// Whether this is the principal, or one of its teams or roles. Only users approve.
    pub fn includes(&self, principal: &Principal) -> bool {
        principal.kind == PrincipalKind::User
            && match self {
                Self::User(name) => *name == principal.id,
                Self::Team(name) => principal.teams.contains(name),
                Self::Role(name) => principal.roles.contains(name),
            }
    }
}

impl std::fmt::Display for Approver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::User(name) => write!(f, "user:{name}"),
            Self::Team(name) => write!(f, "team:{name}"),
            Self::Role(name) => write!(f, "role:{name}"),
        }
    }
}

impl From<Approver> for String {
    fn from(approver: Approver) -> Self {
        approver.to_string()
    }
}

impl TryFrom<String> for Approver {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::read(&text)
    }
}

/// What an approval covers beside the call that was approved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Remember {
    /// Calls of the same tool by the same caller in the same client session, with any arguments.
    Session,
    /// Calls of the same tool by the same caller, with any arguments, for this many seconds.
    Seconds(i64),
    /// Calls of the same tool by the same caller, with any arguments, until the tool's definition or the policies change, at
    /// most seven days.
    Tool,
}

impl Remember {
    /// The longest time that the decision is remembered, in seconds.
    pub fn seconds(self) -> i64 {
        match self {
            Self::Seconds(seconds) => seconds,
            Self::Session => DAY,
            Self::Tool => LONGEST,
        }
    }
}

/// A policy that holds a call until people have approved it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// The ID of the policy.
    pub policy: String,
    /// The policy's `@reason`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub approvers: Vec<Approver>,
    /// How long a request waits and an approved call can be made, in seconds.
    pub ttl: i64,
    /// How many different people must approve.
    pub people: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remember: Option<Remember>,
    /// The caller may approve the call.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_self: bool,
    /// Arguments that whoever approves may set to other values.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub edit: Vec<String>,
}

impl Hold {
    /// Parses the annotations of a policy; `None` if it has none. The error describes what is wrong with them.
    pub(crate) fn of(policy: &Policy, id: &str) -> Result<Option<Self>, String> {
        let annotation = |name| policy.annotation(name);
        let Some(approvers) = annotation(APPROVAL) else {
            let stray =
                [TTL, BY, REMEMBER, SELF, EDIT].into_iter().find(|one| annotation(one).is_some());
            return match stray {
                Some(stray) => Err(format!("'{id}' has @{stray} without @{APPROVAL}")),
                None => Ok(None),
            };
        };
        if policy.effect() != cedar_policy::Effect::Forbid {
            let why = "only a 'forbid' can hold a call for approval";
            return Err(format!("'{id}' is a 'permit' with @{APPROVAL}: {why}"));
        }
        if !is_about_use(&policy.action_constraint()) {
            return Err(format!(
                "'{id}' has @{APPROVAL}, and is not only about what callers do: write \
                    'action in Action::\"use\"', or 'action == Action::\"call\"'"
            ));
        }
        let wrong = |name: &str, why: String| format!("@{name} of '{id}': {why}");
        let approvers = approvers
            .split(',')
            .map(|one| Approver::read(one.trim()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|why| wrong(APPROVAL, why))?;
        if approvers.len() > MOST_APPROVERS {
            return Err(wrong(APPROVAL, format!("at most {MOST_APPROVERS} approvers")));
        }
        let ttl = match annotation(TTL) {
            None => USUAL_TTL,
            Some(text) => seconds(text).map_err(|why| wrong(TTL, why))?,
        };
        let people = match annotation(BY) {
            None => 1,
            Some(text) => text
                .parse()
                .ok()
                .filter(|people| (1..=MOST_PEOPLE).contains(people))
                .ok_or_else(|| wrong(BY, format!("'{text}': expected 1 to {MOST_PEOPLE}")))?,
        };
        let named = |one: &Approver| matches!(one, Approver::User(_));
        if approvers.iter().all(named) && approvers.len() < usize::from(people) {
            let why = format!("{people} people, and @{APPROVAL} names {}", approvers.len());
            return Err(wrong(BY, why));
        }
        let remember = match annotation(REMEMBER) {
            None => None,
            Some("session") => Some(Remember::Session),
            Some("tool") => Some(Remember::Tool),
            Some(text) => Some(Remember::Seconds(
                seconds(text)
                    .map_err(|why| wrong(REMEMBER, format!("{why}, or 'session', or 'tool'")))?,
            )),
        };
        let by_self = match annotation(SELF) {
            None | Some("false") => false,
            Some("true") => true,
            Some(text) => {
                return Err(wrong(SELF, format!("'{text}': expected 'true' or 'false'")));
            }
        };
        let edit = match annotation(EDIT) {
            None => Vec::new(),
            Some(_) if people > 1 => {
                let why = format!("only one approver can edit arguments, and @{BY} wants {people}");
                return Err(wrong(EDIT, why));
            }
            Some(_) if remember.is_some() => {
                let why = format!("an edited call says nothing of others: leave out @{REMEMBER}");
                return Err(wrong(EDIT, why));
            }
            Some(text) => names(text).map_err(|why| wrong(EDIT, why))?,
        };
        let reason = policy.annotation("reason").filter(|text| !text.is_empty());
        let (policy, reason) = (id.to_owned(), reason.map(str::to_owned));
        Ok(Some(Self { policy, reason, approvers, ttl, people, remember, by_self, edit }))
    }
}

/// Names of arguments, separated by commas.
fn names(text: &str) -> Result<Vec<String>, String> {
    let names: Vec<String> = text.split(',').map(|name| name.trim().to_owned()).collect();
    if names.len() > MOST_EDITED {
        return Err(format!("at most {MOST_EDITED} arguments"));
    }
    let wrong = |name: &&String| {
        name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control)
    };
    match names.iter().find(wrong) {
        Some(name) => Err(format!("'{name}': expected names of arguments, separated by commas")),
        None => Ok(names),
    }
}

/// Whether a policy names only actions of callers.
fn is_about_use(constraint: &ActionConstraint) -> bool {
    let known: Vec<_> = Action::USE
        .into_iter()
        .map(action_uid)
        .chain(std::iter::once(group_of(Action::Call)))
        .collect();
    match constraint {
        ActionConstraint::Any => false,
        ActionConstraint::Eq(named) => known.contains(named),
        ActionConstraint::In(named) => named.iter().all(|named| known.contains(named)),
    }
}

/// A time such as `30m`, `1h` or `7d`, in seconds.
fn seconds(text: &str) -> Result<i64, String> {
    let read = || {
        let (at, unit) = text.char_indices().next_back()?;
        let unit = match unit {
            's' => 1,
            'm' => MINUTE,
            'h' => HOUR,
            'd' => DAY,
            _ => return None,
        };
        let digits = text[..at].bytes().all(|byte| byte.is_ascii_digit());
        let seconds = text[..at].parse::<i64>().ok().filter(|_| digits)?.checked_mul(unit)?;
        (10..=LONGEST).contains(&seconds).then_some(seconds)
    };
    read().ok_or_else(|| format!("'{text}': expected a time of 10s to 7d, such as '30m'"))
}
