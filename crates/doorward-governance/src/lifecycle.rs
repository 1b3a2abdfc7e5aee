//! The states of a server, and which step leads from one to another.
