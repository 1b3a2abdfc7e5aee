//! Tools as functions of model APIs.
//!
//! Everything here is a pure function: no sockets, no clock, no names of servers. Whoever calls it knows which tools there
//! are, and runs the calls.
//!
//! | module | content |
//! |---|---|
//! | [`Dialect`] | the forms in which model APIs take tools, and return calls of them |
//! | [`list`] | lists of tools, as the argument `tools` of an SDK |
//! | [`schema`] | input schemas that model APIs accept, and arguments back in the form of the tool |
//! | [`strict`] | the same for the strict mode of OpenAI |
//! | [`calls`] | calls, as a model returns them |
//! | [`results`] | results, as a model takes them |

pub mod calls;
mod clean;
pub mod list;
mod node;
mod nulls;
pub mod results;
pub mod schema;
pub mod strict;

use std::str::FromStr;

pub use calls::{Call, Problem};
pub use list::{Listing, Tool, Warning};
pub use results::Outcome;
pub use schema::Adapted;

/// A form of tools, calls and results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// As MCP has them.
    Mcp,
    /// Chat Completions of OpenAI, and everything compatible with it.
    OpenAi,
    /// Responses of OpenAI.
    OpenAiResponses,
    /// Messages of Anthropic.
    Anthropic,
    /// `generateContent` of Gemini.
    Gemini,
}

impl Dialect {
    pub const ALL: [Self; 5] =
        [Self::Mcp, Self::OpenAi, Self::OpenAiResponses, Self::Anthropic, Self::Gemini];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Mcp => "mcp",
            Self::OpenAi => "openai",
            Self::OpenAiResponses => "openai-responses",
            Self::Anthropic => "anthropic",
            Self::Gemini => "gemini",
        }
    }

    /// Whether its lists have a member `strict`.
    pub const fn has_strict(self) -> bool {
        matches!(self, Self::OpenAi | Self::OpenAiResponses)
    }
}

impl FromStr for Dialect {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        Self::ALL.into_iter().find(|dialect| dialect.as_str() == text).ok_or(())
    }
}
