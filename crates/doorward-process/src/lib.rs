//! Programs: the control groups that limit them, and the lines of their standard input and output.

pub mod cgroup;
pub mod lines;
