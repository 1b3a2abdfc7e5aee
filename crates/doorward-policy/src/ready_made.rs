//! Predefined sets of policies, to use or to start with.

/// A set: its name, its policies, and the tests of them.
#[derive(Debug, Clone, Copy)]
pub struct ReadyMade {
    pub name: &'static str,
    pub about: &'static str,
    pub policies: &'static str,
    pub tests: &'static str,
    /// Forbids only, and needs others that permit.
    pub only_forbids: bool,
}

macro_rules! set {
    ($name:literal, $only_forbids:literal, $about:literal) => {
        ReadyMade {
            name: $name,
            about: $about,
            policies: include_str!(concat!("../sets/", $name, ".cedar")),
            tests: include_str!(concat!("../sets/", $name, ".test.yaml")),
            only_forbids: $only_forbids,
        }
    };
}

pub const ALL: [ReadyMade; 10] = [
    set!("open", false, "everyone who is authenticated may use everything"),
    set!("read-only-agents", false, "users may use everything, agents only read-only tools"),
    set!("read-write", false, "separate roles for reading and writing"),
    set!("office-hours", true, "no changes outside office hours"),
    set!("argument-limits", true, "limits on the values of arguments"),
    set!("untrusted-sinks", true, "sinks require approval once untrusted content was read"),
    set!("secrets-inside", true, "whoever has read secrets uses no tools of an open world"),
    set!("pii-in-region", true, "whoever has read personal data uses tools of region eu only"),
    set!("team-portals", false, "each team uses its own portal"),
    set!(
        "administrators",
        false,
        "roles of administrators: owner, operator, security, auditor, billing, approver, tenant-admin"
    ),
];

pub fn find(name: &str) -> Option<&'static ReadyMade> {
    ALL.iter().find(|set| set.name == name)
}
