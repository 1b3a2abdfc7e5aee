//! Names of tools and prompts as models see them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The longest name that the APIs of models accept: OpenAI and Anthropic refuse a whole request if one name is
/// longer, or has a character other than `A-Z a-z 0-9 _ -`.
pub const LONGEST_NAME: usize = 64;

/// Names of tools and prompts, as clients see them. At `/mcp` and in portals, a name is `server__name` if the
/// APIs of models accept it. Otherwise it is rewritten, shortened and given a suffix of eight digits, a hash of
/// the server's and the tool's name that is the same after every restart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NameSettings {
    /// Number of characters, of the 64 that the APIs of models accept, to reserve for prefixes that clients add,
    /// such as `mcp__doorward__`.
    pub allowance: usize,
    /// Names at `/mcp/<server>`.
    pub servers: ServerNames,
}

/// Names at the endpoint of a single server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ServerNames {
    /// As the server names them, whether or not the APIs of models accept it.
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
    /// Maximum length of a displayed name, in characters.
    pub fn longest(&self) -> usize {
        LONGEST_NAME.saturating_sub(self.allowance)
    }

    /// Problems, by key.
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        const MOST: usize = 40;
        if self.allowance <= MOST {
            return Vec::new();
        }
        vec![(
            "allowance",
            format!("{}: at most {MOST}, so that names stay unique", self.allowance),
        )]
    }
}

/// Whether the APIs of models accept a name: letters, digits, `_` and `-`, beginning with a letter or `_`, and
/// not too long.
pub fn is_legal_name(name: &str, longest: usize) -> bool {
    let first = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    first && name.len() <= longest && name.bytes().all(plain)
}
