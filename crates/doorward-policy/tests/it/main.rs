//! Policies as they are written, and what comes of them.

mod policies;
