//! Parameters of OAuth requests: each at most once (RFC 6749 section 3.1).

use std::collections::BTreeMap;

/// Parameters by name. A parameter with an empty value counts as absent.
#[derive(Debug, Default)]
pub struct Form {
    values: BTreeMap<String, String>,
    /// The first parameter that occurs more than once.
    twice: Option<String>,
}

impl Form {
    pub fn read(text: &[u8]) -> Self {
        let mut form = Self::default();
        for (name, value) in url::form_urlencoded::parse(text) {
            if form.values.contains_key(&*name) {
                form.twice.get_or_insert_with(|| name.clone().into_owned());
            } else {
                form.values.insert(name.into_owned(), value.into_owned());
            }
        }
        form.values.retain(|_, value| !value.is_empty());
        form
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.values.get(name).map(String::as_str)
    }

    /// The first parameter that occurs more than once.
    pub fn twice(&self) -> Option<&str> {
        self.twice.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_parameter_is_reported() {
        let form = Form::read(b"a=1&b=&c=x%20y&a=2");
        assert_eq!((form.get("a"), form.get("b"), form.get("c")), (Some("1"), None, Some("x y")));
        assert_eq!(form.twice(), Some("a"));
        assert_eq!(Form::read(b"").twice(), None);
    }
}
