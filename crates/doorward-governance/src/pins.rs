//! Definitions pinned by the SHA-256 of their canonical form, and what a list looks like when it is compared with its pins.
