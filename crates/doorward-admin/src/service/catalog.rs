//! The catalogue of ready entries for popular servers: the same for every gateway of a version.

use doorward_clients::catalog::{Item, all};
use doorward_policy::Action;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::Problem;

pub const LIST: Operation<Wanted, Page<Item>> = Operation::new(
    "catalog.list",
    (Verb::Get, "/admin/v1/catalog"),
    "List ready entries for popular servers: what each is, what it needs, and its settings",
    (Action::View, On::Gateway),
    |_, input| Box::pin(async move { list(&input) }),
);

#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Wanted {
    /// Only entries with these words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    #[serde(flatten)]
    pub paging: Paging,
}

fn list(input: &Wanted) -> Result<Page<Item>, Problem> {
    let words = input.text.as_deref().unwrap_or_default();
    let found = all().iter().filter(|item| item.matches(words)).cloned();
    input.paging.of(found.collect(), |item| item.id.clone())
}
