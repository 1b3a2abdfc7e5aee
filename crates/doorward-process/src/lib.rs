//! Programs: the control groups that limit them, the system calls that they may make, and the lines of their standard
//! input and output.

#[cfg(target_os = "linux")]
pub mod calls;
pub mod cgroup;
pub mod lines;
