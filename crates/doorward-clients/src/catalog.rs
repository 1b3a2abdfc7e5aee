//! Ready entries for popular servers: what each is, what it needs from its operator, and its settings, which are those of
//! the gateway's configuration. Versions and digests are those of the public registries.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use regex_automata::meta::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Longest value of a parameter.
const MAX_VALUE: usize = 2_048;

/// An entry of the catalogue.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CatalogItem")]
pub struct Item {
    pub id: String,
    pub title: String,
    pub summary: String,
    pub publisher: String,
    pub homepage: String,
    /// The licence of the package, as its registry states it; `service` for a remote server.
    pub license: String,
    pub parameters: Vec<Parameter>,
    /// The server's settings; `{{name}}` is where a parameter goes.
    pub server: Map<String, Value>,
}

/// What an operator has to know or get, as a field of a form.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "CatalogParameter")]
pub struct Parameter {
    pub name: String,
    pub title: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// It is a reference such as `${env:NAME}`, never the secret itself.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
    #[serde(default = "yes")]
    pub required: bool,
    /// The variable that a secret comes from unless a reference is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<String>,
    /// A regular expression that the value matches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pattern: Option<String>,
    /// Where one gets it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub example: Option<String>,
}

const fn yes() -> bool {
    true
}

/// How a server is authenticated to, for people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Auth {
    None,
    Key,
    OAuth,
}

/// All entries, by id.
pub fn all() -> &'static [Item] {
    static ALL: OnceLock<Vec<Item>> = OnceLock::new();
    // A test reads the same text.
    ALL.get_or_init(|| serde_json::from_str(include_str!("catalog.json")).unwrap_or_default())
}

pub fn find(id: &str) -> Option<&'static Item> {
    all().iter().find(|item| item.id == id)
}

impl Item {
    /// Whether it is a service, and not a package that runs here.
    pub fn is_remote(&self) -> bool {
        self.server.contains_key("url")
    }

    pub fn auth(&self) -> Auth {
        if self.server.contains_key("delegated") {
            Auth::OAuth
        } else if self.parameters.iter().any(|parameter| parameter.secret) {
            Auth::Key
        } else {
            Auth::None
        }
    }

    /// Whether all words are in it, whatever their case.
    pub fn matches(&self, words: &str) -> bool {
        let tags = self.server.get("tags").map(Value::to_string).unwrap_or_default();
        let text =
            [&self.id, &self.title, &self.summary, &self.publisher, &tags].map(String::as_str);
        let text = text.join(" ").to_lowercase();
        words.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }

    /// The server's settings with these values of its parameters.
    ///
    /// # Errors
    /// Everything that is missing or wrong.
    pub fn settings(&self, values: &BTreeMap<String, String>) -> Result<Value, Vec<String>> {
        let mut wrong = Vec::new();
        let mut filled = BTreeMap::new();
        for name in values.keys().filter(|name| self.parameter(name).is_none()) {
            let all: Vec<_> = self.parameters.iter().map(|it| &*it.name).collect();
            let all = if all.is_empty() { "none".into() } else { all.join(", ") };
            wrong.push(format!("'{name}' is not a parameter of {}; it has: {all}", self.id));
        }
        for parameter in &self.parameters {
            match parameter.value(values.get(&parameter.name)) {
                Ok(value) => drop(value.map(|value| filled.insert(&*parameter.name, value))),
                Err(why) => wrong.push(why),
            }
        }
        if !wrong.is_empty() {
            return Err(wrong);
        }
        Ok(fill(&Value::Object(self.server.clone()), &filled).unwrap_or_default())
    }

    fn parameter(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|parameter| parameter.name == name)
    }
}

impl Parameter {
    fn value(&self, given: Option<&String>) -> Result<Option<String>, String> {
        let name = &self.name;
        let Some(given) = given else {
            if let Some(variable) = &self.variable {
                return Ok(Some(format!("${{env:{variable}}}")));
            }
            if self.required && self.default.is_none() {
                let example = self.example.as_deref().unwrap_or("VALUE");
                return Err(format!(
                    "'{name}' is required ({}): --set {name}={example}",
                    self.title
                ));
            }
            return Ok(self.default.clone());
        };
        let is_reference = given.starts_with("${") && given.ends_with('}') && !given.contains("{{");
        if self.secret && !is_reference {
            return Err(format!(
                "'{name}' is a secret: give a reference such as ${{env:NAME}}, ${{file:PATH}} or ${{vault:PATH#FIELD}}, not the secret itself"
            ));
        }
        if is_reference {
            return Ok(Some(given.clone()));
        }
        if given.len() > MAX_VALUE || given.chars().any(char::is_control) || given.contains("{{") {
            return Err(format!("'{name}' is too long, or has characters that it cannot have"));
        }
        let pattern = self.pattern.as_ref().and_then(|pattern| Regex::new(pattern).ok());
        if pattern.is_some_and(|pattern| !pattern.is_match(given)) {
            let example = self.example.as_deref().unwrap_or_default();
            return Err(format!("'{given}' cannot be '{name}'; an example is {example}"));
        }
        Ok(Some(given.clone()))
    }
}

/// A value with parameters filled in; `None` if it needs one that has no value.
fn fill(value: &Value, filled: &BTreeMap<&str, String>) -> Option<Value> {
    Some(match value {
        Value::String(text) => {
            let mut out = String::new();
            let mut rest = text.as_str();
            while let Some((before, after)) = rest.split_once("{{") {
                let (name, after) = after.split_once("}}")?;
                out.push_str(before);
                out.push_str(filled.get(name)?);
                rest = after;
            }
            out.push_str(rest);
            out.into()
        }
        Value::Array(items) => items.iter().filter_map(|item| fill(item, filled)).collect(),
        Value::Object(members) => members
            .iter()
            .filter_map(|(name, value)| Some((name.clone(), fill(value, filled)?)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example(item: &Item) -> BTreeMap<String, String> {
        let mut values = BTreeMap::new();
        for parameter in item.parameters.iter().filter(|parameter| !parameter.secret) {
            values.insert(parameter.name.clone(), parameter.example.clone().unwrap());
        }
        values
    }

    /// A configuration with the server of an item, as the gateway reads it.
    fn configured(item: &Item, server: &Value) -> doorward_config::Settings {
        let key = "a master key of at least thirty-two characters";
        let settings = serde_json::json!({
            "public_url": "https://tools.example.com",
            "store_key": key,
            "servers": { item.id.clone(): server },
        });
        let settings: doorward_config::Settings =
            serde_json::from_value(settings).unwrap_or_else(|error| panic!("{}: {error}", item.id));
        let problems = settings.problems();
        assert!(problems.is_empty(), "{}: {problems:?}", item.id);
        settings
    }

    #[test]
    fn every_entry_is_a_server_of_a_configuration() {
        let items: Vec<Item> = serde_json::from_str(include_str!("catalog.json")).unwrap();
        assert!(items.len() >= 40, "{}", items.len());
        assert_eq!(all().len(), items.len());
        assert!(items.is_sorted_by(|one, other| one.id < other.id));
        for item in &items {
            let server = item.settings(&example(item)).unwrap();
            assert!(!server.to_string().contains("{{"), "{}", item.id);
            let settings = configured(item, &server);
            let server = &settings.servers[&item.id];
            assert_eq!(server.url.is_some(), item.is_remote());
            assert!(!server.tags.is_empty() && server.risk.is_some(), "{}", item.id);
            // A service is never at an address of the operator's own network, and a package is confined.
            assert_eq!(
                (server.public_only, server.confine.is_some()),
                (item.is_remote(), !item.is_remote())
            );
            if let Some(url) = &server.url {
                assert_eq!(url.scheme(), "https", "{}", item.id);
            }
        }
    }

    #[test]
    fn packages_have_an_exact_version_and_a_digest() {
        for item in all().iter().filter(|item| !item.is_remote()) {
            let package = &item.server["package"];
            let text = |name: &str| package[name].as_str().unwrap_or_default();
            assert!(text("version").starts_with(|c: char| c.is_ascii_digit()), "{}", item.id);
            let digest = text("digest");
            match package.get("npm") {
                Some(_) => {
                    use base64::Engine as _;
                    let digest = digest.strip_prefix("sha512-").unwrap();
                    let bytes = base64::engine::general_purpose::STANDARD.decode(digest).unwrap();
                    assert_eq!(bytes.len(), 64, "{}", item.id);
                }
                None => {
                    let digest = digest.strip_prefix("sha256:").unwrap();
                    let is_hex = digest.bytes().all(|byte| byte.is_ascii_hexdigit());
                    assert!(
                        !text("pypi").is_empty() && is_hex && digest.len() == 64,
                        "{}",
                        item.id
                    );
                }
            }
            // What no version names is not installed.
            assert!(item.license != "service" && item.homepage.starts_with("https://"));
        }
    }

    #[test]
    fn every_parameter_is_used_and_says_what_it_is() {
        for item in all() {
            let server = Value::Object(item.server.clone()).to_string();
            for parameter in &item.parameters {
                let used = format!("{{{{{}}}}}", parameter.name);
                assert!(server.contains(&used), "{}: {}", item.id, parameter.name);
                assert_eq!(parameter.secret, parameter.variable.is_some(), "{}", item.id);
                assert_eq!(parameter.secret, parameter.example.is_none(), "{}", item.id);
                if parameter.secret {
                    let url = parameter.url.as_deref().unwrap_or_default();
                    assert!(url.starts_with("https://"), "{}: where from?", item.id);
                }
                if let Some(pattern) = &parameter.pattern {
                    let pattern = Regex::new(pattern).unwrap();
                    for value in parameter.example.iter().chain(&parameter.default) {
                        assert!(pattern.is_match(value), "{}: {value}", item.id);
                    }
                    assert!(!pattern.is_match(""), "{}", item.id);
                }
            }
            let named = server.matches("{{").count();
            assert!(named >= item.parameters.len(), "{}", item.id);
        }
    }

    #[test]
    fn what_is_missing_or_wrong_is_said() {
        let values = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        let files = find("filesystem").unwrap();
        let wrong = files.settings(&values(&[("x", "y")])).unwrap_err();
        assert!(
            wrong[0].contains("not a parameter") && wrong[1].contains("--set folder="),
            "{wrong:?}"
        );
        assert!(
            files.settings(&values(&[("folder", "relative")])).unwrap_err()[0]
                .contains("/srv/files")
        );
        assert!(files.settings(&values(&[("folder", "/a\nb")])).is_err());
        let github = find("github").unwrap();
        let wrong = github.settings(&values(&[("token", "ghp_secret")])).unwrap_err();
        assert!(wrong[0].contains("${env:NAME}") && !wrong[0].contains("ghp_secret"));
        let settings = github.settings(&values(&[("token", "${file:/run/token}")])).unwrap();
        assert_eq!(settings["headers"]["Authorization"], "Bearer ${file:/run/token}");
        let settings = github.settings(&BTreeMap::new()).unwrap();
        assert_eq!(settings["headers"]["Authorization"], "Bearer ${env:GITHUB_TOKEN}");
    }

    #[test]
    fn entries_are_found_by_words() {
        let found = |words: &str| all().iter().filter(|item| item.matches(words)).count();
        assert!(found("database") >= 5 && found("GITHUB") >= 1 && found("") == all().len());
        assert_eq!(found("no such thing"), 0);
    }
}
