//! Labels of flow rules: what the settings of servers and tools say.

use std::collections::BTreeSet;

use super::flow::{FlowLabels, FlowSettings, Sinks, UNTRUSTED, Untrusted};
use super::{ServerSettings, Settings};

/// Labels of one gateway.
const MOST_LABELS: usize = 64;
/// Longest label, in bytes.
const LONGEST_LABEL: usize = 64;

impl Settings {
    /// What is wrong with the labels that the settings name.
    pub(super) fn problem_of_labels(&self) -> Option<String> {
        let all = labels(&self.flow, self.servers.values());
        if all.len() > MOST_LABELS {
            return Some(format!("a gateway has at most {MOST_LABELS} labels"));
        }
        let wrong = all.iter().find(|label| !is_label(label))?;
        let legal = "1 to 64 letters, digits, '-', '_', '.' and ':'";
        Some(format!("'{wrong}' is not a label: {legal}"))
    }
}

/// Whether a text can be a label.
pub fn is_label(text: &str) -> bool {
    let is_legal = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    !text.is_empty() && text.len() <= LONGEST_LABEL && text.bytes().all(is_legal)
}

/// Every label that the settings and these servers name: what an unknown caller carries. Empty where there are no flow
/// rules.
pub fn labels<'a>(
    flow: &FlowSettings,
    servers: impl IntoIterator<Item = &'a ServerSettings>,
) -> BTreeSet<String> {
    let mut all = flow.labels.clone();
    all.extend(flow.findings.values().chain(flow.data.values()).flatten().cloned());
    for server in servers {
        all.extend(server.brings.iter().chain(&server.lists_bring).cloned());
        all.extend(
            server.tools.values().filter_map(|tool| tool.brings.as_ref()).flatten().cloned(),
        );
    }
    if flow.untrusted == Untrusted::OpenWorld {
        all.insert(UNTRUSTED.into());
    }
    all
}

impl ServerSettings {
    /// What flow rules say of something that the server offers. `write`: whether it can change something; `hint`: whether
    /// its definition says that it interacts with an open world.
    pub fn flow_of(&self, name: &str, write: bool, hint: bool) -> FlowLabels {
        let (mut brings, mut sink, mut open_world) = (&self.brings, self.sink, self.open_world);
        // What is said most specially has the last word.
        for known in self.said_of(name).into_iter().rev() {
            brings = known.brings.as_ref().unwrap_or(brings);
            sink = known.sink.or(sink);
            open_world = known.open_world.or(open_world);
        }
        let defaults = self.flow_defaults;
        let open_world = open_world.unwrap_or(hint);
        let mut brings = brings.clone();
        if open_world && defaults.untrusted == Untrusted::OpenWorld {
            brings.insert(UNTRUSTED.into());
        }
        let sink = sink.unwrap_or(write && defaults.sinks == Sinks::Writes);
        FlowLabels { brings, sink, open_world }
    }

    /// Labels of anything that the server returns: for what cannot be attributed to a tool, such as a task.
    pub fn may_bring(&self) -> BTreeSet<String> {
        let tools = self.tools.values().filter_map(|tool| tool.brings.as_ref()).flatten();
        let mut all: BTreeSet<String> = self.brings.iter().chain(tools).cloned().collect();
        if self.flow_defaults.untrusted == Untrusted::OpenWorld && self.open_world != Some(false) {
            all.insert(UNTRUSTED.into());
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ToolSettings;
    use doorward_core::pattern::Pattern;

    fn set(all: &[&str]) -> BTreeSet<String> {
        all.iter().map(|one| (*one).to_owned()).collect()
    }

    #[test]
    fn the_longest_pattern_has_the_last_word() {
        let tool = |brings: Option<&[&str]>, sink| ToolSettings {
            brings: brings.map(set),
            sink,
            ..ToolSettings::default()
        };
        let server = ServerSettings {
            brings: set(&["untrusted"]),
            tools: [
                (Pattern("list_*".into()), tool(Some(&[]), None)),
                (Pattern("list_mails".into()), tool(Some(&["pii"]), None)),
                (Pattern("send*".into()), tool(None, Some(true))),
            ]
            .into(),
            ..ServerSettings::default()
        };
        let of = |name: &str| server.flow_of(name, true, true);
        assert_eq!(of("read").brings, set(&["untrusted"]));
        assert_eq!(of("list_folders").brings, set(&[]));
        assert_eq!(of("list_mails").brings, set(&["pii"]));
        assert!(of("send").sink && !of("read").sink);
        assert_eq!(server.may_bring(), set(&["untrusted", "pii"]));
    }

    #[test]
    fn the_gateway_can_take_writes_for_sinks_and_the_open_world_for_untrusted() {
        let settings = Settings {
            flow: FlowSettings {
                untrusted: Untrusted::OpenWorld,
                sinks: Sinks::Writes,
                ..FlowSettings::default()
            },
            ..Settings::default()
        };
        let own = ServerSettings { open_world: Some(false), ..ServerSettings::sample() };
        let server = ServerSettings::sample().with_defaults(&settings);
        let all = server.flow_of("x", true, true);
        assert!(all.sink && all.open_world && all.brings == set(&["untrusted"]));
        let closed = server.flow_of("x", false, false);
        assert!(!closed.sink && !closed.open_world && closed.brings.is_empty());
        assert!(own.with_defaults(&settings).flow_of("x", false, true).brings.is_empty());
        assert_eq!(labels(&settings.flow, []), set(&["untrusted"]));
        assert_eq!(labels(&FlowSettings::default(), [&ServerSettings::sample()]), set(&[]));
    }

    #[test]
    fn labels_are_short_plain_words() {
        for (label, fits) in
            [("pii", true), ("region:eu", true), ("", false), ("a b", false), ("ä", false)]
        {
            assert_eq!(is_label(label), fits, "{label}");
        }
    }
}
