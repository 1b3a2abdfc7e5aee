//! Programs: the control groups that bound them, and the lines by which one speaks with them.

pub mod cgroup;
pub mod lines;
