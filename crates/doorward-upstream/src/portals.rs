//! Portals of the configuration and the store: their content, the names in them, and how tools look there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use doorward_compact::parameters::{self, Adapted, Rule};
use doorward_compact::results::ResultRules;
use doorward_compact::schemas::{self, SchemaRules};
use doorward_compact::shorten;
use doorward_mcp::uri::{self, Readings};
use doorward_mcp::{Object, Value};
use doorward_policy::{Target, TargetKind};

use doorward_config::{CompactSettings, PortalSettings, parameter_rules};
use doorward_core::pattern::Pattern;
use parking_lot::Mutex;

fn told(problem: &parameters::Problem) -> String {
    match &problem.path {
        Some(path) => format!("'{path}': {}", problem.why),
        None => problem.why.clone(),
    }
}

/// The member of a definition with the schema of its arguments.
const INPUT: &str = "inputSchema";

/// A portal, indexed by its names in both directions.
#[derive(Debug)]
pub struct Selection {
    pub settings: PortalSettings,
    /// From the configuration rather than from the store.
    pub declared: bool,
    /// Server and original name, by the name in the portal.
    renamed: BTreeMap<String, (String, String)>,
    /// The rules for parameters, by `server/name`.
    rules: BTreeMap<String, Vec<Rule>>,
    /// The schemas that were adapted by them.
    adapted: Mutex<HashMap<String, (Bytes, Tool)>>,
    /// How schemas are shortened, if they are.
    shortens: Option<SchemaRules>,
    /// How results are cut, if they are.
    pub cuts: Option<Arc<ResultRules>>,
}

/// A tool whose parameters the portal changes; `None` if its schema does not fit the rules.
pub type Tool = Option<Arc<Adapted>>;

/// All portals by name, in lower case.
pub type Selections = BTreeMap<String, (Arc<str>, Arc<Selection>)>;

impl Selection {
    pub fn new(settings: PortalSettings, declared: bool) -> Arc<Self> {
        let renamed = settings.rename.iter().filter_map(|(of, new)| {
            let (server, own) = of.split_once('/')?;
            Some((new.clone(), (server.to_owned(), own.to_owned())))
        });
        let renamed = renamed.collect();
        let rules = settings.parameters.iter();
        let rules = rules.map(|(id, rules)| (id.clone(), parameter_rules(rules))).collect();
        let compact = settings.compact.as_ref();
        let shortens = compact.map(CompactSettings::schema_rules);
        let cuts = compact.and_then(CompactSettings::result_rules).map(Arc::new);
        let adapted = Mutex::default();
        Arc::new(Self { settings, declared, renamed, rules, adapted, shortens, cuts })
    }

    /// Whether a target is in the portal; a URI in every form in which a server may read it.
    pub fn has(&self, target: &Target) -> bool {
        let settings = &self.settings;
        let listed = match target.kind {
            TargetKind::Tool => &settings.tools,
            TargetKind::Prompt => &settings.prompts,
            TargetKind::Resource => &settings.resources,
            TargetKind::Server | TargetKind::Portal | TargetKind::Tenant | TargetKind::Gateway => {
                return false;
            }
        };
        let server = |name: &String| name.eq_ignore_ascii_case(&target.server);
        let is_named = |patterns: &BTreeSet<Pattern>, id: &str| {
            patterns.iter().any(|pattern| pattern.matches(id))
        };
        let as_a_whole = settings.servers.iter().any(server)
            || target.tags.iter().any(|tag| settings.tags.contains(tag));
        let is_chosen = |id: &str| as_a_whole || is_named(listed, id);
        let id = target.id();
        if !is_chosen(&id) || is_named(&settings.except, &id) {
            return false;
        }
        let is_uri = target.kind == TargetKind::Resource;
        let readings = if is_uri { uri::readings(&target.name) } else { None };
        readings.is_none_or(|Readings { others, is_hidden }| {
            others.into_iter().all(|other| {
                let id = Target { name: other, ..target.clone() }.id();
                !is_named(&settings.except, &id) && (!is_hidden || is_chosen(&id))
            })
        })
    }

    /// Whether a target exists, for callers who may use it.
    pub fn offers(&self, target: &Target) -> bool {
        match target.kind {
            TargetKind::Server => self.may_use(&target.server),
            TargetKind::Portal | TargetKind::Tenant | TargetKind::Gateway => true,
            TargetKind::Tool | TargetKind::Prompt | TargetKind::Resource => self.has(target),
        }
    }

    /// Whether a server may have targets in the portal.
    pub fn may_use(&self, server: &str) -> bool {
        let settings = &self.settings;
        let of = |pattern: &doorward_core::pattern::Pattern| {
            let part = pattern.0.split('/').next().unwrap_or_default();
            doorward_core::pattern::matches(part, server) || part.contains('*')
        };
        !settings.tags.is_empty()
            || settings.servers.iter().any(|name| name.eq_ignore_ascii_case(server))
            || [&settings.tools, &settings.prompts, &settings.resources]
                .into_iter()
                .any(|patterns| patterns.iter().any(of))
    }

    /// Server and original name of a tool or prompt that the portal renames.
    pub fn renamed(&self, shown: &str) -> Option<(&str, &str)> {
        self.renamed.get(shown).map(|(server, own)| (&**server, &**own))
    }

    /// Whether the portal renames a tool or prompt, which is then unavailable under its original
    /// name.
    pub fn renames(&self, server: &str, own: &str) -> bool {
        self.settings.rename.contains_key(&format!("{server}/{own}"))
    }

    /// A tool by the portal's rules for its parameters, of its input schema; `None` without such rules.
    pub fn adapted(&self, server: &str, own: &str, schema: Option<&Value>) -> Option<Tool> {
        if self.rules.is_empty() {
            return None;
        }
        let id = format!("{server}/{own}");
        let rules = self.rules.get(&id)?;
        let schema = schema.map_or_else(|| Bytes::from_static(b"{}"), Value::to_bytes);
        if let Some((of, tool)) = self.adapted.lock().get(&id)
            && *of == schema
        {
            return Some(tool.clone());
        }
        let tool = match parameters::check(&Value::Raw(schema.clone()), rules) {
            Ok(adapted) => Some(Arc::new(adapted)),
            Err(problems) => {
                let problems: Vec<String> = problems.iter().map(told).collect();
                tracing::warn!(
                    tool = id,
                    "not available at a portal, whose 'parameters' do not fit the tool: {}",
                    problems.join("; ")
                );
                None
            }
        };
        self.adapted.lock().insert(id, (schema, tool.clone()));
        Some(tool)
    }

    /// Changes the definition of a tool as the portal wants it. Returns whether the tool is available.
    pub fn dress_tool(&self, server: &str, own: &str, item: &mut Object) -> bool {
        match self.adapted(server, own, item.get(INPUT)) {
            None => {}
            Some(Some(adapted)) => item.set(INPUT, adapted.schema().clone()),
            Some(None) => return false,
        }
        self.dress(server, own, item);
        let Some(rules) = &self.shortens else { return true };
        for member in [INPUT, "outputSchema"] {
            if let Some(schema) = item.get(member).map(|schema| schemas::compact(schema, rules)) {
                item.set(member, schema);
            }
        }
        if let Some(most) = rules.description_chars
            && let Some(text) =
                item.string("description").map(|text| shorten(&text, most).into_owned())
        {
            item.set("description", text.as_str());
        }
        true
    }

    /// Applies the portal's texts to an item of a list.
    pub fn dress(&self, server: &str, own: &str, item: &mut Object) {
        let id = format!("{server}/{own}");
        let settings = &self.settings;
        if let Some(new) = settings.rename.get(&id) {
            item.set("name", new.as_str());
        }
        if let Some(text) = settings.describe.get(&id) {
            item.set("description", text.as_str());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(json: serde_json::Value) -> Arc<Selection> {
        Selection::new(serde_json::from_value(json).unwrap(), true)
    }

    #[test]
    fn a_portal_has_what_is_named_and_not_excepted() {
        let portal = selection(serde_json::json!({
            "servers": ["files"], "tools": ["tickets/get_*", "mail/send"], "tags": ["safe"],
            "except": ["files/delete*"], "resources": ["tickets/*"]
        }));
        let tool = |server, name| Target::new(TargetKind::Tool, server, name);
        let safe = Target { tags: ["safe".to_owned()].into(), ..tool("x", "y") };
        for (target, has) in [
            (tool("files", "read"), true),
            (tool("files", "delete_all"), false),
            (tool("tickets", "get_one"), true),
            (tool("tickets", "close"), false),
            (tool("mail", "send"), true),
            (safe, true),
            (Target::new(TargetKind::Resource, "tickets", "a:b"), true),
            (Target::new(TargetKind::Prompt, "tickets", "get_one"), false),
            (Target::new(TargetKind::Prompt, "files", "p"), true),
        ] {
            assert_eq!(portal.has(&target), has, "{target:?}");
        }
    }

    #[test]
    fn a_name_leads_to_one_thing() {
        let portal = selection(serde_json::json!({
            "servers": ["tickets"], "rename": { "tickets/search": "find" }
        }));
        assert_eq!(portal.renamed("find"), Some(("tickets", "search")));
        assert_eq!(portal.renamed("tickets__search"), None);
        assert!(portal.renames("tickets", "search"));
        assert!(!portal.renames("tickets", "close"));
    }
}
