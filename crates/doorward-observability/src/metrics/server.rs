//! Metrics of the calls of one server.

use doorward_mcp::method;

use super::labels::{CallLabels, OperationLabels};
use super::{CacheOutcome, MOST_TOOLS, OTHERS, Outcome, ServerMetrics, label};

impl ServerMetrics {
    /// Counts a call: its method and tool, its outcome, its duration, and the server's part of
    /// that.
    pub fn record(&self, method: &str, tool: &str, outcome: Outcome, seconds: f64, upstream: f64) {
        self.count(tool, outcome);
        // Extensions define further methods, and callers may send any name.
        let method = if method::is_known(method) { method } else { OTHERS };
        if let Some((all, server)) = self.methods.read().get(method) {
            all.observe(seconds);
            if upstream > 0.0 {
                server.observe(upstream);
            }
            return;
        }
        let labels = OperationLabels { server: self.server.clone(), method: method.to_owned() };
        let all = self.durations.get_or_create(&labels).clone();
        let server = self.upstream.get_or_create(&labels).clone();
        all.observe(seconds);
        if upstream > 0.0 {
            server.observe(upstream);
        }
        self.methods.write().insert(method.to_owned(), (all, server));
    }

    pub fn cache(&self, outcome: CacheOutcome) {
        self.cache[outcome as usize].inc();
    }

    fn count(&self, tool: &str, outcome: Outcome) {
        if let Some(counters) = self.tools.read().get(tool) {
            counters[outcome as usize].inc();
            return;
        }
        let tool = if self.tools.read().len() < MOST_TOOLS { tool } else { OTHERS };
        let counters = Outcome::ALL.map(|outcome| {
            let labels = CallLabels { server: self.server.clone(), tool: label(tool), outcome };
            self.calls.get_or_create(&labels).clone()
        });
        counters[outcome as usize].inc();
        self.tools.write().insert(tool.to_owned(), counters);
    }
}
