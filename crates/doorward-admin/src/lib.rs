//! The admin API: service functions for everything an operator can do, and the HTTP routes that translate to them.
//!
//! A service function ([`service`]) takes a [`Desk`] (who administers, the store in their name, the running gateway) and
//! one input, and returns one output. An [`Operation`] names it with its method, path and action; the table of operations
//! ([`routes`]) is what the [`Admin`] listener serves, what [`openapi`] describes, and what the command line calls: over
//! HTTP where a gateway runs, or itself on the store where none does. So all of them can do the same, decided and recorded
//! in one place.

pub mod apply;
pub mod csv;
mod desk;
mod events;
mod health;
mod http;
mod input;
mod listener;
pub mod openapi;
mod operation;
mod page;
mod problem;
mod rates;
pub mod routes;
pub mod scan;
mod served;
pub mod service;
mod strict;

pub use desk::{Desk, Reload, Reloading, Who, gateway, of_tenant, portal, server_named, tenant};
pub use http::SECRET;
pub use listener::{Admin, refused};
pub use operation::{On, Operation, Route, Running, Verb};
pub use page::{MOST as MOST_ITEMS, Page, Paging};
pub use problem::{Code, Problem};
pub use served::Served;
