//! How tools and prompts are called where models see them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest name that models' APIs take: OpenAI and Anthropic refuse a whole request for one name
/// that is longer, or that has another character than `A-Z a-z 0-9 _ -`.
pub const LONGEST_NAME: usize = 64;

/// Names of tools and prompts, as clients see them. At `/mcp` and in portals a name is `server__name`
/// where models' APIs take that. What they do not take is rewritten, shortened and ended with eight
/// digits that are made of the server's and the tool's own name, the same after every restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NameSettings {
    /// Characters, of the 64 that models' APIs take, that are left for what clients put before a
    /// name, such as `mcp__doorward__`.
    pub allowance: usize,
    /// Names at `/mcp/<server>`.
    pub servers: ServerNames,
}

/// Names at an endpoint of one server alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerNames {
    /// As the server calls them, whatever models' APIs take.
    #[default]
    Own,
    /// Rewritten as at `/mcp`, without the server's name.
    Legal,
}

impl Default for NameSettings {
    fn default() -> Self {
        Self { allowance: 18, servers: ServerNames::default() }
    }
}

impl NameSettings {
    /// The longest name that is shown, in characters.
    pub fn longest(&self) -> usize {
        LONGEST_NAME.saturating_sub(self.allowance)
    }

    /// What is wrong, by key.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        const MOST: usize = 40;
        if self.allowance <= MOST {
            return Vec::new();
        }
        vec![(
            "allowance",
            format!("{}: at most {MOST}, so that names can be told apart", self.allowance),
        )]
    }
}

/// Whether models' APIs take a name: letters, digits, `_` and `-`, a letter or `_` first, and not too
/// long.
pub fn is_legal_name(name: &str, longest: usize) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    first && name.len() <= longest && name.bytes().all(plain)
}
