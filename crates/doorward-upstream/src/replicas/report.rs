//! The status of a server with replicas, as one server.

use std::sync::Arc;

use super::Replicas;
use crate::Server;
use crate::status::{ReplicaState, State};

impl Replicas {
    /// The status of the server: up while one replica is up.
    pub fn state(&self, front: &Server, own: State) -> State {
        let now = self.now();
        let members = self.members();
        let states: Vec<(Arc<Server>, State)> =
            members.into_iter().map(|member| (member.clone(), member.state())).collect();
        let best = states.iter().find(|(_, state)| state.state == "up").or_else(|| states.first());
        let trouble = self.trouble.lock().clone();
        let concurrency = own.concurrency;
        let mut whole = match best {
            Some((_, best)) => best.clone(),
            None => State { state: "down", ..own },
        };
        whole.name = front.name.to_string();
        whole.concurrency = concurrency;
        if whole.problem.is_none() || states.is_empty() {
            whole.problem = trouble.map(|why| format!("replicas cannot be discovered: {why}"));
        }
        whole.sessions = states.iter().map(|(_, state)| state.sessions).sum();
        let circuits = || states.iter().map(|(_, state)| state.circuit);
        whole.circuit = circuits().find(|circuit| *circuit == "closed").unwrap_or(whole.circuit);
        let told = states.into_iter().filter_map(|(member, state)| {
            let replica = member.replica.as_ref()?;
            Some(ReplicaState {
                replica: replica.place.label(),
                group: replica.place.group,
                state: match state.state {
                    "up" if member.differs() => "differs",
                    "up" if member.is_ejected(now) => "ejected",
                    state => state,
                },
                circuit: state.circuit,
                in_flight: member.in_flight(),
                latency_ms: replica.speed.average().map(doorward_core::millis),
                problem: state.problem.or_else(|| {
                    let changed = member.changed_definitions();
                    let why = || format!("differs from what was approved: {}", changed.join(", "));
                    (!changed.is_empty()).then(why)
                }),
            })
        });
        whole.replicas = told.collect();
        whole
    }
}
