//! Values by their place: patterns of JSON pointers, and values that are passed on unread.

use crate::json::Path;

/// A pattern of JSON pointers: `*` stands for any one name or index, `**` at the end for everything below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldPattern {
    parts: Vec<String>,
    below: bool,
}

impl FieldPattern {
    /// Reads a pattern; `None` if it is none.
    pub fn parse(pattern: &str) -> Option<Self> {
        let mut parts: Vec<String> =
            pattern.strip_prefix('/')?.split('/').map(str::to_owned).collect();
        let below = parts.last().is_some_and(|last| last == "**");
        if below {
            parts.pop();
        }
        (!parts.iter().any(|part| part == "**")).then_some(Self { parts, below })
    }

    /// Whether a pointer (RFC 6901) is meant.
    pub fn matches(&self, pointer: &str) -> bool {
        let parts = || pointer.strip_prefix('/').unwrap_or_default().split('/');
        let count = parts().count();
        let fits = if self.below { count > self.parts.len() } else { count == self.parts.len() };
        fits && parts().zip(&self.parts).all(|(part, wanted)| wanted == "*" || wanted == part)
    }

    /// How much a pattern says; of several that match, the one that says most applies.
    pub fn precision(&self) -> (bool, usize, usize) {
        let named = self.parts.iter().filter(|part| *part != "*").count();
        (!self.below, named, self.parts.len())
    }
}

/// Values of a message that are passed on unread, because they are encoded or identify something.
#[derive(Debug, Clone, Default)]
pub struct Opaque {
    values: Vec<String>,
    names: Vec<String>,
}

impl Opaque {
    /// The value at a pointer is not read.
    pub fn value(&mut self, pointer: impl Into<String>) {
        self.values.push(pointer.into());
    }

    /// The member names of the object at a pointer are not read.
    pub fn names(&mut self, pointer: impl Into<String>) {
        self.names.push(pointer.into());
    }

    /// Whether a string is one of them.
    pub(crate) fn covers(&self, path: &Path<'_>, is_name: bool) -> bool {
        let places = if is_name { &self.names } else { &self.values };
        // Pointers of all strings would cost more than what is looked for in these.
        let depth = path.depth() - usize::from(is_name && path.depth() > 0);
        if !places.iter().any(|place| place.bytes().filter(|byte| *byte == b'/').count() == depth) {
            return false;
        }
        let mut pointer = path.pointer();
        if is_name {
            pointer.truncate(pointer.rfind('/').unwrap_or_default());
        }
        places.contains(&pointer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_whole_pointers() {
        for (pattern, pointer, fits) in [
            ("/a/b", "/a/b", true),
            ("/a/b", "/a/b/c", false),
            ("/a/*", "/a/7", true),
            ("/a/*", "/a/7/c", false),
            ("/a/**", "/a/7/c", true),
            ("/a/**", "/a", false),
            ("/**", "/a", true),
        ] {
            assert_eq!(FieldPattern::parse(pattern).unwrap().matches(pointer), fits, "{pattern}");
        }
        assert_eq!(FieldPattern::parse("a"), None);
        assert_eq!(FieldPattern::parse("/**/a"), None);
    }
}
