//! What holds for any message: nothing is lost that a form can say, and nothing that is sent makes a reader fail.

mod bindings;
mod cards;
mod hostile;
mod identity;
mod strategies;
