//! Which settings take effect at the next start only.

use super::Settings;

impl Settings {
    /// The keys whose values differ from the current ones, and take effect at the next start only.
    pub fn at_restart(&self, current: &Self) -> Vec<&'static str> {
        let all = [
            ("listen", self.listen != current.listen),
            ("tls", self.tls != current.tls),
            ("admin", self.admin != current.admin),
            ("admin_tls", self.admin_tls != current.admin_tls),
            ("audit", !self.audit.is_taken_over(&current.audit)),
            ("cache", self.cache != current.cache),
            ("flow.shared", self.flow.is_elsewhere(&current.flow)),
            ("conversations.shared", self.conversations.is_elsewhere(&current.conversations)),
            ("limits", self.limits != current.limits),
            ("timeouts", self.timeouts != current.timeouts),
            ("state_key", self.state_key != current.state_key),
            ("stops", self.stops != current.stops),
            ("store", self.store != current.store),
            ("store_key", self.store_key != current.store_key),
            ("public_url", self.public_url != current.public_url),
        ];
        all.into_iter().filter(|(_, differs)| *differs).map(|(key, _)| key).collect()
    }
}
