//! JSON whose members stay in the order in which they are written, and how it is written into a file.

use std::fmt::Write;

/// What a client's entry is made of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Json {
    Bool(bool),
    Text(String),
    List(Vec<Self>),
    Object(Vec<(String, Self)>),
}

/// How a file is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Style {
    /// One level of indentation.
    pub unit: String,
    pub newline: &'static str,
}

impl Default for Style {
    fn default() -> Self {
        Self { unit: "  ".into(), newline: "\n" }
    }
}

impl Json {
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    pub fn object<const N: usize>(members: [(&str, Self); N]) -> Self {
        Self::Object(members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
    }

    /// Over several lines; the first has no indentation, further ones begin with `base`.
    pub fn pretty(&self, style: &Style, base: &str) -> String {
        let mut out = String::new();
        self.write_pretty(&mut out, style, base);
        out
    }

    fn write_pretty(&self, out: &mut String, style: &Style, base: &str) {
        let inner = format!("{base}{}", style.unit);
        let line = |out: &mut String, at: usize, indent: &str| {
            out.push_str(if at == 0 { "" } else { "," });
            out.push_str(style.newline);
            out.push_str(indent);
        };
        match self {
            Self::List(items) if !items.is_empty() => {
                out.push('[');
                for (at, item) in items.iter().enumerate() {
                    line(out, at, &inner);
                    item.write_pretty(out, style, &inner);
                }
                let _ = write!(out, "{}{base}]", style.newline);
            }
            Self::Object(members) if !members.is_empty() => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    line(out, at, &inner);
                    let _ = write!(out, "{}: ", quoted(name));
                    value.write_pretty(out, style, &inner);
                }
                let _ = write!(out, "{}{base}}}", style.newline);
            }
            _ => out.push_str(&self.compact()),
        }
    }

    /// Without any white space.
    pub fn compact(&self) -> String {
        let joined = |parts: Vec<String>| parts.join(",");
        match self {
            Self::Bool(value) => value.to_string(),
            Self::Text(text) => quoted(text),
            Self::List(items) => format!("[{}]", joined(items.iter().map(Self::compact).collect())),
            Self::Object(members) => {
                let member = |(name, value): &(String, Self)| {
                    format!("{}:{}", quoted(name), value.compact())
                };
                format!("{{{}}}", joined(members.iter().map(member).collect()))
            }
        }
    }

    pub fn to_serde(&self) -> serde_json::Value {
        match self {
            Self::Bool(value) => (*value).into(),
            Self::Text(text) => text.as_str().into(),
            Self::List(items) => items.iter().map(Self::to_serde).collect(),
            Self::Object(members) => serde_json::Value::Object(
                members.iter().map(|(name, value)| (name.clone(), value.to_serde())).collect(),
            ),
        }
    }
}

/// A JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Whether an entry of a file says at least what was wanted: people and clients add members of their own.
pub fn covers(entry: &serde_json::Value, wanted: &serde_json::Value) -> bool {
    match (entry, wanted) {
        (serde_json::Value::Object(entry), serde_json::Value::Object(wanted)) => wanted
            .iter()
            .all(|(name, value)| entry.get(name).is_some_and(|there| covers(there, value))),
        _ => entry == wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_the_web_writes_it() {
        let value = Json::object([
            ("b", Json::List(vec![Json::text("x\"\n"), Json::Bool(true)])),
            ("a", Json::Object(Vec::new())),
        ]);
        assert_eq!(value.compact(), r#"{"b":["x\"\n",true],"a":{}}"#);
        let lines = "{\n  \"b\": [\n    \"x\\\"\\n\",\n    true\n  ],\n  \"a\": {}\n}";
        assert_eq!(value.pretty(&Style::default(), ""), lines);
        assert_eq!(serde_json::from_str::<serde_json::Value>(lines).unwrap(), value.to_serde());
    }

    #[test]
    fn an_entry_covers_what_it_says_among_other_things() {
        let json = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        let wanted = json(r#"{"url": "u", "headers": {"A": "b"}}"#);
        assert!(covers(&json(r#"{"url": "u", "headers": {"A": "b", "C": "d"}, "x": 1}"#), &wanted));
        assert!(!covers(&json(r#"{"url": "u", "headers": {"A": "c"}}"#), &wanted));
        assert!(!covers(&json(r#"{"url": "u"}"#), &wanted));
    }
}
