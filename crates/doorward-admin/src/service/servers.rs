//! Servers as they run: health, replicas, protocol, and the definitions of what they offer.

use doorward_policy::Action;
use doorward_upstream::State;

use super::Named;
use crate::desk::Desk;
use crate::operation::{On, Operation, Verb};
use crate::page::{Page, Paging};
use crate::problem::Problem;

pub const STATUS: Operation<Paging, Page<State>> = Operation::new(
    "servers.status",
    (Verb::Get, "/admin/v1/servers/status"),
    "List the health of all servers",
    (Action::View, On::Decides),
    |desk, paging| Box::pin(async move { status(&desk, &paging) }),
);

pub const STATUS_OF: Operation<Named, State> = Operation::new(
    "servers.status_of",
    (Verb::Get, "/admin/v1/servers/{name}/status"),
    "Show the health of a server",
    (Action::View, On::Named(|desk, input| desk.server(&input.name))),
    |desk, input| {
        Box::pin(async move {
            let server = desk.gateway()?.server(&input.name);
            server
                .map(|server| server.state())
                .ok_or_else(|| Problem::absent("server", &input.name))
        })
    },
);

fn status(desk: &Desk, paging: &Paging) -> Result<Page<State>, Problem> {
    let states = desk.gateway()?.states();
    let states = desk.visible(Action::View, states, |state| desk.server(&state.name))?;
    paging.of(states, |state| state.name.to_lowercase())
}
