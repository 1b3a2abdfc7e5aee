//! What is done with a definition.

use doorward_config::{DefinitionInspection, InvisibleAction, SuspiciousAction};
use doorward_inspect::text;

use super::{Found, Suspicious, printed};

/// What is defined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Tool,
    Prompt,
    Resource,
    Template,
    Instructions,
    Identity,
}

impl Kind {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tool => "tool",
            Self::Prompt => "prompt",
            Self::Resource => "resource",
            Self::Template => "template",
            Self::Instructions => "instructions",
            Self::Identity => "identity",
        }
    }
}

/// Why a definition is not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Withheld {
    /// Until somebody accepts it.
    Hold(String),
    Refuse(String),
}

impl Withheld {
    pub fn why(&self) -> &str {
        match self {
            Self::Hold(why) | Self::Refuse(why) => why,
        }
    }

    /// The action, as settings name it.
    pub fn action(&self) -> &'static str {
        match self {
            Self::Hold(_) => "hold",
            Self::Refuse(_) => "refuse",
        }
    }
}

/// What is done with a definition.
#[derive(Debug, Clone, Default)]
pub struct Judged {
    /// What is served in its place: the same without invisible characters. Its name may have had some, too.
    pub stripped: Option<String>,
    pub withheld: Option<Withheld>,
    /// What looks like instructions to a model.
    pub suspicious: Option<Suspicious>,
    /// It has invisible characters.
    pub has_invisible: bool,
    /// It was not inspected before.
    pub is_new: bool,
}

pub(super) fn judge(
    settings: &DefinitionInspection,
    found: &Found,
    (kind, name): (Kind, &str),
    (is_new, keeps_names): (bool, bool),
    digest: impl FnOnce() -> String,
) -> Judged {
    let invisible = settings.invisible();
    let has_invisible = found.stripped.is_some() && invisible != InvisibleAction::Ignore;
    let mut judged = Judged { has_invisible, is_new, ..Judged::default() };
    if has_invisible {
        let refused = match invisible {
            InvisibleAction::Refuse => Some("it has characters that are not seen"),
            // Without them it would be something else: another name, or one member instead of two.
            InvisibleAction::Strip if !keeps_names && text::strip(name).is_some() => {
                Some("its name has characters that are not seen")
            }
            InvisibleAction::Strip if found.collides => {
                Some("without characters that are not seen, two of its names are equal")
            }
            InvisibleAction::Strip => {
                judged.stripped.clone_from(&found.stripped);
                None
            }
            InvisibleAction::Ignore | InvisibleAction::Report => None,
        };
        judged.withheld = refused.map(|why| Withheld::Refuse(why.to_owned()));
    }
    let Some(suspicious) = &found.suspicious else { return judged };
    let threshold = settings.threshold.unwrap_or(suspicious.threshold);
    if suspicious.complete && suspicious.score < threshold {
        return judged;
    }
    judged.suspicious = Some(Suspicious { threshold, ..suspicious.clone() });
    if judged.withheld.is_some() {
        return judged;
    }
    let action = settings.suspicious();
    if matches!(action, SuspiciousAction::Hold | SuspiciousAction::Refuse) {
        let digest = digest();
        if settings.accepted.contains(&digest) {
            return judged;
        }
        let why = why(suspicious, threshold, kind, name);
        judged.withheld = Some(match action {
            SuspiciousAction::Refuse => Withheld::Refuse(why),
            _ => Withheld::Hold(format!("{why}; digest {digest}")),
        });
    }
    judged
}

fn why(suspicious: &Suspicious, threshold: u32, kind: Kind, name: &str) -> String {
    if suspicious.score < threshold {
        return "it is too large to be inspected as a whole".into();
    }
    let signals: Vec<&str> = suspicious.signals.iter().map(|it| it.id.as_str()).take(5).collect();
    let name = printed(name);
    let of = if name.is_empty() { String::new() } else { format!(" '{name}'") };
    format!(
        "the {}{of} looks like instructions to a model (score {} of {threshold}: {})",
        kind.as_str(),
        suspicious.score,
        signals.join(", ")
    )
}
