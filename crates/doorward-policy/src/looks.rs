//! What policies look at in the context. What none looks at need not be made, which takes longer than asking.

use cedar_policy::Policy;
use serde_json::Value;

use crate::arguments::path_of;

/// A member of the context, as the schema names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    Arguments,
    Time,
    Agent,
    Chain,
    Address,
    Client,
    Revision,
    Protocol,
    Portal,
    Authentication,
    Credential,
    Findings,
    Data,
    Flow,
    Conversation,
}

impl Member {
    const ALL: [Self; 15] = [
        Self::Arguments,
        Self::Time,
        Self::Agent,
        Self::Chain,
        Self::Address,
        Self::Client,
        Self::Revision,
        Self::Protocol,
        Self::Portal,
        Self::Authentication,
        Self::Credential,
        Self::Findings,
        Self::Data,
        Self::Flow,
        Self::Conversation,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Arguments => "arguments",
            Self::Time => "time",
            Self::Agent => "agent",
            Self::Chain => "chain",
            Self::Address => "address",
            Self::Client => "client",
            Self::Revision => "revision",
            Self::Protocol => "protocol",
            Self::Portal => "portal",
            Self::Authentication => "authentication",
            Self::Credential => "credential",
            Self::Findings => "findings",
            Self::Data => "data",
            Self::Flow => "flow",
            Self::Conversation => "conversation",
        }
    }
}

/// The members of the context that some policies look at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Looks(u16);

impl Looks {
    const ALL: Self = Self(u16::MAX);

    /// Those of one policy. It looks at the context name by name alone, for what uses it as a whole is refused
    /// (`arguments::check_looks`).
    pub(crate) fn of(policy: &Policy) -> Self {
        policy.to_json().map_or(Self::ALL, |policy| Self::of_expression(&policy))
    }

    fn of_expression(expression: &Value) -> Self {
        let all = |inner: &mut dyn Iterator<Item = &Value>| {
            inner.map(Self::of_expression).fold(Self::default(), Self::and)
        };
        match expression {
            Value::Object(members) => {
                if members.get("Var").is_some_and(|name| name == "context") {
                    return Self::ALL;
                }
                let looks = [".", "has"].iter().filter_map(|look| members.get(*look));
                match looks.filter_map(path_of).next() {
                    Some(path) => path.first().map_or(Self::ALL, |name| Self::named(name)),
                    None => all(&mut members.values()),
                }
            }
            Value::Array(items) => all(&mut items.iter()),
            _ => Self::default(),
        }
    }

    fn named(name: &str) -> Self {
        let found = Member::ALL.into_iter().find(|member| member.name() == name);
        found.map_or(Self::default(), |member| Self(1 << member as u16))
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether any of the policies looks at what the gateway has learnt of a call.
    pub fn at_facts(self) -> bool {
        [Member::Findings, Member::Data, Member::Flow, Member::Conversation]
            .into_iter()
            .any(|member| self.at(member))
    }

    /// Whether any of the policies looks at it.
    pub fn at(self, member: Member) -> bool {
        self.0 & (1 << member as u16) != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looks(condition: &str) -> Vec<&'static str> {
        let text = format!("permit (principal, action, resource) when {{ {condition} }};");
        let policy: Policy = text.parse().unwrap();
        let looks = Looks::of(&policy);
        Member::ALL.into_iter().filter(|it| looks.at(*it)).map(Member::name).collect()
    }

    #[test]
    fn what_a_policy_looks_at_is_found_however_it_is_written() {
        for (condition, found) in [
            ("true", &[][..]),
            ("resource.name like \"*time*\"", &[]),
            ("resource.address == \"context.address\"", &[]),
            ("context.time.hour < 12", &["time"]),
            ("context[\"ti\\u{6d}e\"].hour < 12", &["time"]),
            ("context has agent && principal has chain", &["agent"]),
            ("context has client.name", &["client"]),
            (
                "if context.portal == \"a\" then true else context.revision == \"b\"",
                &["revision", "portal"],
            ),
            ("[context.protocol].contains(\"sse\")", &["protocol"]),
            (
                "{ \"time\": context.authentication }.time == context.credential",
                &["authentication", "credential"],
            ),
            ("context.address.isInRange(ip(\"10.0.0.0/8\"))", &["address"]),
            ("context.chain.contains(\"x\") || context.arguments has to", &["arguments", "chain"]),
        ] {
            assert_eq!(looks(condition), found, "{condition}");
        }
        assert_eq!(looks("context == {}").len(), Member::ALL.len());
    }
}
