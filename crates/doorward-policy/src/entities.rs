//! A request's principal, target and context, as Cedar entities.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::BuildHasher;
use std::str::FromStr;
use std::sync::{Arc, LazyLock};

use cedar_policy::{
    Entities, Entity, EntityId, EntityTypeName, EntityUid, RestrictedExpression as Value,
};

use parking_lot::RwLock;

use crate::looks::{Looks, Member};
use crate::request::{
    Action, Arguments, Context, Principal, PrincipalKind, Request, Target, TargetKind,
};

/// Types of entities, read once.
macro_rules! types {
    ($($name:ident = $text:literal;)*) => {
        $(static $name: LazyLock<EntityTypeName> = LazyLock::new(|| type_name($text));)*
    };
}

types! {
    ACTION = "Action";
    AGENT = "Agent";
    GATEWAY = "Gateway";
    PORTAL = "Portal";
    PROMPT = "Prompt";
    RESOURCE = "Resource";
    ROLE = "Role";
    SERVER = "Server";
    SERVICE_ACCOUNT = "ServiceAccount";
    TEAM = "Team";
    TENANT = "Tenant";
    TOOL = "Tool";
    USER = "User";
}

// The texts above are names, which a test shows.
#[allow(clippy::expect_used)]
fn type_name(text: &str) -> EntityTypeName {
    EntityTypeName::from_str(text).expect("the name of a type")
}

fn uid(of: &LazyLock<EntityTypeName>, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id((*of).clone(), EntityId::new(id))
}

pub(crate) fn action_uid(action: Action) -> EntityUid {
    uid(&ACTION, action.as_str())
}

/// The group of actions that an action is in.
pub(crate) fn group_of(action: Action) -> EntityUid {
    match action {
        action if action.is_administrative() => administer(),
        _ => uid(&ACTION, "use"),
    }
}

/// All that operators do.
pub(crate) fn administer() -> EntityUid {
    uid(&ACTION, "administer")
}

pub(crate) fn principal_uid(principal: &Principal) -> EntityUid {
    let of = match principal.kind {
        PrincipalKind::User => &USER,
        PrincipalKind::Agent => &AGENT,
        PrincipalKind::ServiceAccount => &SERVICE_ACCOUNT,
    };
    uid(of, &principal.id)
}

pub(crate) fn target_uid(target: &Target) -> EntityUid {
    let of = match target.kind {
        TargetKind::Tool => &TOOL,
        TargetKind::Prompt => &PROMPT,
        TargetKind::Resource => &RESOURCE,
        TargetKind::Server => &SERVER,
        TargetKind::Portal => &PORTAL,
        TargetKind::Tenant => &TENANT,
        TargetKind::Gateway => &GATEWAY,
    };
    uid(of, &target.id())
}

pub(crate) fn server_uid(target: &Target) -> Option<EntityUid> {
    (!target.server.is_empty()).then(|| uid(&SERVER, &target.server))
}

/// What was made for earlier requests of the same principal for the same target: making it takes
/// longer than asking a few policies.
#[derive(Debug, Default)]
pub(crate) struct Known {
    hasher: RandomState,
    made: RwLock<HashMap<u64, Arc<Made>>>,
}

#[derive(Debug)]
pub(crate) struct Made {
    principal: Principal,
    agent: Option<String>,
    action: Action,
    target: Target,
    pub entities: Entities,
}

/// What is kept of it, and how long a name may be for it.
const MOST: usize = 4096;
const LONGEST: usize = 512;

impl Made {
    fn is_for(&self, request: &Request) -> bool {
        self.action == request.action
            && self.target == request.target
            && self.principal == request.principal
            && self.agent == request.context.agent
    }
}

impl Known {
    /// The entities of a request, made now or before.
    pub fn entities(&self, request: &Request) -> Option<Arc<Made>> {
        let agent = &request.context.agent;
        let key =
            self.hasher.hash_one((&request.principal, agent, request.action, &request.target));
        if let Some(made) = self.made.read().get(&key).filter(|made| made.is_for(request)) {
            return Some(made.clone());
        }
        let made = Arc::new(Made {
            principal: request.principal.clone(),
            agent: agent.clone(),
            action: request.action,
            target: request.target.clone(),
            entities: entities(request)?,
        });
        // Lists ask for everything once, and would leave no room for what is asked again and again.
        let long = request.target.name.len() > LONGEST;
        if request.context.arguments != Arguments::Any && !long {
            let mut kept = self.made.write();
            if kept.len() >= MOST {
                kept.clear();
            }
            kept.insert(key, made.clone());
        }
        Some(made)
    }
}

/// Everybody and everything a decision may ask about. `None` only if a name stood twice among an
/// entity's attributes, which does not happen.
fn entities(request: &Request) -> Option<Entities> {
    let mut all = Vec::with_capacity(8);
    all.push(action(request.action));
    principal(&request.principal, &mut all);
    if let Some(agent) = &request.context.agent {
        let it = uid(&AGENT, agent);
        if it != principal_uid(&request.principal) {
            all.push(Entity::with_uid(it));
        }
    }
    target(&request.target, &mut all)?;
    Entities::from_entities(all, None).ok()
}

fn action(action: Action) -> Entity {
    let parents = HashSet::from([group_of(action)]);
    Entity::new_no_attrs(action_uid(action), parents)
}

fn principal(principal: &Principal, all: &mut Vec<Entity>) {
    let tenant = principal.tenant.as_ref().map(|tenant| uid(&TENANT, tenant));
    let mut parents: HashSet<EntityUid> = tenant.clone().into_iter().collect();
    for team in &principal.teams {
        let team = uid(&TEAM, team);
        parents.insert(team.clone());
        all.push(Entity::new_no_attrs(team, tenant.clone().into_iter().collect()));
    }
    for role in &principal.roles {
        let role = uid(&ROLE, role);
        parents.insert(role.clone());
        all.push(Entity::with_uid(role));
    }
    all.extend(tenant.map(Entity::with_uid));
    all.push(Entity::new_no_attrs(principal_uid(principal), parents));
}

fn target(target: &Target, all: &mut Vec<Entity>) -> Option<()> {
    let text = |text: &str| Value::new_string(text.to_owned());
    let mut attributes: HashMap<String, Value> = HashMap::new();
    let optional = [
        ("environment", &target.environment),
        ("region", &target.region),
        ("owner", &target.owner),
        ("risk", &target.risk),
    ];
    for (name, value) in optional {
        if let Some(value) = value {
            attributes.insert(name.into(), text(value));
        }
    }
    if let Some(classes) = &target.data_classes {
        let classes = Value::new_set(classes.iter().map(|class| text(class)));
        attributes.insert("data_classes".into(), classes);
    }
    let tags = target.tags.iter().map(|tag| text(tag));
    attributes.insert("tags".into(), Value::new_set(tags));
    let parents: HashSet<EntityUid> = match target.kind {
        TargetKind::Tool | TargetKind::Prompt | TargetKind::Resource => {
            let server = server_uid(target)?;
            all.push(Entity::with_uid(server.clone()));
            attributes.insert("server".into(), text(&target.server));
            let brings = target.brings.iter().map(|label| text(label));
            attributes.insert("brings".into(), Value::new_set(brings));
            attributes.insert("sink".into(), Value::new_bool(target.sink));
            attributes.insert("open_world".into(), Value::new_bool(target.open_world));
            let name = if target.kind == TargetKind::Resource { "uri" } else { "name" };
            attributes.insert(name.into(), text(&target.name));
            HashSet::from([server])
        }
        TargetKind::Server => {
            if let Some(owner) = &target.owner {
                let of = |kind| Value::new_entity_uid(uid(kind, owner));
                attributes.insert("owner_user".into(), of(&USER));
                attributes.insert("owner_team".into(), of(&TEAM));
            }
            HashSet::new()
        }
        TargetKind::Portal | TargetKind::Tenant | TargetKind::Gateway => {
            let target = target_uid(target);
            // The principal's own tenant is there already.
            if all.iter().all(|one| one.uid() != target) {
                all.push(Entity::with_uid(target));
            }
            return Some(());
        }
    };
    if target.kind == TargetKind::Tool {
        attributes.insert("write".into(), Value::new_bool(target.write));
    }
    all.push(Entity::new(target_uid(target), attributes, parents).ok()?);
    Some(())
}

/// The context as far as policies look at it, with the arguments as they were made of the call's, or
/// unknown.
pub(crate) fn context(
    context: &Context,
    arguments: Value,
    looks: &Looks,
) -> Option<cedar_policy::Context> {
    let text = |text: &str| Value::new_string(text.to_owned());
    let mut pairs: Vec<(String, Value)> = Vec::new();
    let mut put = |member: Member, value: &dyn Fn() -> Option<Value>| {
        if looks.at(member) {
            pairs.push((member.name().to_owned(), value()?));
        }
        Some(())
    };
    put(Member::Time, &|| {
        let time = &context.time;
        let time = Value::new_record([
            ("weekday".to_owned(), text(&time.weekday)),
            ("hour".to_owned(), Value::new_long(i64::from(time.hour))),
            ("minute".to_owned(), Value::new_long(i64::from(time.minute))),
            ("date".to_owned(), text(&time.date)),
            ("unix".to_owned(), Value::new_long(time.unix)),
        ]);
        time.ok()
    })?;
    put(Member::Client, &|| {
        let client = Value::new_record([
            ("name".to_owned(), text(&context.client.name)),
            ("version".to_owned(), text(&context.client.version)),
        ]);
        client.ok()
    })?;
    put(Member::Chain, &|| Some(Value::new_set(context.chain.iter().map(|one| text(one)))))?;
    put(Member::Revision, &|| Some(text(&context.revision)))?;
    put(Member::Protocol, &|| Some(text(&context.protocol)))?;
    put(Member::Portal, &|| Some(text(&context.portal)))?;
    put(Member::Authentication, &|| Some(text(&context.authentication)))?;
    put(Member::Credential, &|| Some(text(&context.credential)))?;
    let facts = &context.facts;
    let set = |of: &BTreeSet<String>| Some(Value::new_set(of.iter().map(|one| text(one))));
    put(Member::Findings, &|| set(&facts.findings))?;
    put(Member::Data, &|| set(&facts.data))?;
    put(Member::Flow, &|| set(&facts.flow))?;
    put(Member::Conversation, &|| {
        let counts = &facts.conversation;
        let counts = [
            ("calls", counts.calls),
            ("repeated", counts.repeated),
            ("depth", counts.depth),
            ("cost", counts.cost),
        ];
        let counts = counts.map(|(name, count)| (name.to_owned(), Value::new_long(count)));
        Value::new_record(counts).ok()
    })?;
    if let Some(agent) = &context.agent {
        put(Member::Agent, &|| Some(Value::new_entity_uid(uid(&AGENT, agent))))?;
    }
    if let Some(address) = &context.address {
        put(Member::Address, &|| Some(Value::new_ip(address.to_string())))?;
    }
    if looks.at(Member::Arguments) {
        pairs.push((Member::Arguments.name().to_owned(), arguments));
    }
    match pairs.is_empty() {
        true => Some(cedar_policy::Context::empty()),
        false => cedar_policy::Context::from_pairs(pairs).ok(),
    }
}
