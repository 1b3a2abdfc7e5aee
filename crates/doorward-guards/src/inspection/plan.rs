//! What is done with messages to and from one target: settings, compiled.

use std::collections::BTreeMap;

use doorward_config::{
    DataAction, DataInspection, InspectionSettings, InvisibleAction, MessageInspection,
    SuspiciousAction,
};
use doorward_inspect::{Action, FieldPattern, Plan};

/// For both directions.
#[derive(Debug)]
pub(super) struct Plans {
    pub arguments: Way,
    pub results: Way,
}

/// What is done in one direction.
#[derive(Debug)]
pub(super) struct Way {
    pub invisible: InvisibleAction,
    pub suspicious: SuspiciousAction,
    pub threshold: Option<u32>,
    /// `None` where data is not looked for.
    pub data: Option<Plan>,
}

impl Plans {
    pub fn new(arguments: &MessageInspection, results: &MessageInspection) -> Self {
        Self { arguments: Way::new(arguments), results: Way::new(results) }
    }
}

impl Way {
    fn new(settings: &MessageInspection) -> Self {
        Self {
            invisible: settings.invisible.unwrap_or(InvisibleAction::Report),
            suspicious: settings.suspicious(),
            threshold: settings.threshold,
            data: (!settings.data.is_off()).then(|| plan(&settings.data)),
        }
    }
}

fn plan(data: &DataInspection) -> Plan {
    let all = |named: &BTreeMap<String, DataAction>| {
        named.iter().map(|(name, data)| (name.clone(), action(*data))).collect()
    };
    let mut fields: Vec<(FieldPattern, Action)> = (data.fields.iter())
        .filter_map(|(field, data)| Some((FieldPattern::parse(field)?, action(*data))))
        .collect();
    fields.sort_by_key(|(field, _)| std::cmp::Reverse(field.precision()));
    Plan {
        fields,
        default: action(data.default.unwrap_or(DataAction::Report)),
        classes: all(&data.classes),
        detectors: all(&data.detectors),
    }
}

fn action(data: DataAction) -> Action {
    match data {
        DataAction::Ignore => Action::Ignore,
        DataAction::Report => Action::Report,
        DataAction::Mask => Action::Mask,
        DataAction::Hash => Action::Hash,
        DataAction::Tokenize => Action::Tokenize,
        DataAction::Refuse => Action::Refuse,
    }
}

/// Which exceptions apply: targets to which the same ones apply share their plans.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Which {
    exceptions: Vec<u64>,
    /// Whether each may apply, or does.
    is_possible: bool,
}

impl Which {
    /// Those that apply to a target.
    pub fn of(settings: &InspectionSettings, target: &str) -> Self {
        let only = |exception: &doorward_config::InspectionException| {
            exception.only.iter().any(|only| only.matches(target))
        };
        Self { exceptions: bits(settings.exceptions.iter().map(only)), is_possible: false }
    }

    /// Those that may apply to something of a server.
    pub fn possible(settings: &InspectionSettings, server: &str) -> Self {
        let exceptions = settings.exceptions.iter().map(|it| it.may_apply_to(server));
        Self { exceptions: bits(exceptions), is_possible: true }
    }

    pub fn is_none(&self) -> bool {
        self.exceptions.iter().all(|bits| *bits == 0)
    }
}

fn bits(of: impl Iterator<Item = bool>) -> Vec<u64> {
    let mut bits = Vec::new();
    for (number, applies) in of.enumerate() {
        if number % 64 == 0 {
            bits.push(0);
        }
        if let (true, Some(last)) = (applies, bits.last_mut()) {
            *last |= 1 << (number % 64);
        }
    }
    bits
}
