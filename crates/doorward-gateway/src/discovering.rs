//! What calls of the gateway's own tools ask for, once it is read.

use doorward_discovery::Search;
use doorward_schema::Mismatches;

/// What a call has to do with the search for tools.
#[derive(Debug)]
pub enum Discovering {
    /// It lists tools, where not all are listed, or others as well.
    List(Offers),
    Search(Search),
    /// It asks for the definitions of tools, by name.
    Details(Vec<String>),
    /// It reads on in a result that was cut.
    ReadMore(String),
    /// It calls another tool.
    Call,
    /// Its arguments are wrong.
    Invalid(Box<Mismatches>),
}

/// Which tools of its own the gateway offers.
#[derive(Debug, Clone, Copy)]
pub struct Offers {
    /// Those that find others, in the place of all others.
    pub search: bool,
    /// The one that reads on in a result.
    pub read_more: bool,
}

impl Discovering {
    /// Whether it lists the tools by which others are found, in the place of these.
    pub fn is_short_list(&self) -> bool {
        matches!(self, Self::List(Offers { search: true, .. }))
    }

    /// The tool that the client has called; `None` for a list.
    pub fn tool(&self) -> Option<&'static str> {
        match self {
            Self::Search(_) => Some(doorward_discovery::SEARCH),
            Self::Details(_) => Some(doorward_discovery::DETAILS),
            Self::ReadMore(_) => Some(doorward_discovery::READ_MORE),
            Self::Call => Some(doorward_discovery::CALL),
            // Its record names it as what was called.
            Self::List(_) | Self::Invalid(_) => None,
        }
    }
}
