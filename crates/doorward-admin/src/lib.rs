//! The admin API: service functions for everything an operator can do, and the HTTP routes that translate to them.
