//! How much work an inspection may do.

/// Bytes of work that are left for one message. Every byte that is searched, decoded or matched counts once.
#[derive(Debug, Clone)]
pub struct Budget {
    left: usize,
    exceeded: bool,
}

impl Budget {
    /// A budget of a number of bytes.
    pub fn new(bytes: usize) -> Self {
        Self { left: bytes, exceeded: false }
    }

    /// Whether something was not inspected.
    pub fn is_exceeded(&self) -> bool {
        self.exceeded
    }

    /// Takes bytes from the budget. If there are not enough, nothing is taken and the budget is exceeded.
    pub fn take(&mut self, bytes: usize) -> bool {
        match self.left.checked_sub(bytes) {
            Some(left) => {
                self.left = left;
                true
            }
            None => {
                self.exceeded = true;
                false
            }
        }
    }
}

impl Default for Budget {
    /// 16 MiB.
    fn default() -> Self {
        Self::new(16 << 20)
    }
}
