//! Where a server and its replicas process data, and which classes they may receive.

use std::collections::BTreeSet;

use doorward_core::pattern::Pattern;

use super::ServerSettings;

impl ServerSettings {
    /// Whether the server, as one replica, may receive data of a class.
    pub fn may_receive(&self, class: &str) -> bool {
        let allowed = self.data_classes.as_ref();
        allowed.is_none_or(|allowed| allowed.iter().any(|pattern| pattern.matches(class)))
    }

    /// Whether the server or one of its replicas may not receive every class of data.
    pub fn restricts_data(&self) -> bool {
        self.data_classes.is_some() || self.replicas.iter().any(|one| one.data_classes.is_some())
    }

    /// Classes of data that calls of a tool, prompt or resource carry, whatever is found in them.
    pub fn data_of(&self, name: &str) -> BTreeSet<String> {
        let own = self.said_of(name).into_iter().flat_map(|said| said.data.iter());
        self.data.iter().chain(own).cloned().collect()
    }

    /// Where the server processes data: its own region, or the one that all its replicas are in.
    pub fn region_of_all(&self) -> Option<&str> {
        let mut regions =
            self.replicas.iter().map(|one| one.region.as_ref().or(self.region.as_ref()));
        let Some(first) = regions.next() else { return self.region.as_deref() };
        regions.all(|region| region == first).then(|| first.map(String::as_str)).flatten()
    }

    /// The classes that may be sent to all of the server: its own, or those that all its replicas have; `None` for any.
    pub fn data_classes_of_all(&self) -> Option<BTreeSet<String>> {
        let named = |classes: &Option<BTreeSet<Pattern>>| -> Option<BTreeSet<String>> {
            let classes = classes.as_ref().or(self.data_classes.as_ref())?;
            Some(classes.iter().map(|pattern| pattern.0.clone()).collect())
        };
        if self.replicas.is_empty() {
            return named(&None);
        }
        let all = self.replicas.iter().filter_map(|one| named(&one.data_classes));
        all.reduce(|one, other| &one & &other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_holds_of_all_replicas_is_said_of_the_server() {
        let server = |text: &str| -> ServerSettings { serde_json::from_str(text).unwrap() };
        let both = server(
            r#"{"region": "eu", "data_classes": ["a", "b*"], "data": ["x"], "tools": {"t": {"data": ["y"]}}, "replicas": [
                {"url": "http://a/"}, {"url": "http://b/", "data_classes": ["a", "c"]}]}"#,
        );
        assert_eq!(both.region_of_all(), Some("eu"));
        assert_eq!(both.data_classes_of_all(), Some(["a".to_owned()].into()));
        assert_eq!(both.data_of("t"), ["x".to_owned(), "y".to_owned()].into());
        assert!(both.restricts_data() && both.may_receive("bb") && !both.may_receive("c"));
        let apart =
            server(r#"{"replicas": [{"url": "http://a/", "region": "eu"}, {"url": "http://b/"}]}"#);
        assert_eq!((apart.region_of_all(), apart.data_classes_of_all()), (None, None));
        assert!(!apart.restricts_data() && apart.may_receive("anything"));
    }
}
