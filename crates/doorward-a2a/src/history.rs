//! How much of a task's history is returned (spec 1.0 §3.2.4).

use crate::task::Task;

impl Task {
    /// Leaves the most recent `length` messages: `None` leaves all, zero leaves the history out.
    pub fn limit_history(&mut self, length: Option<u32>) {
        let (Some(length), Some(history)) = (length, &mut self.history) else { return };
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if length == 0 {
            self.history = None;
        } else {
            history.drain(..history.len().saturating_sub(length));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{Message, Role};
    use crate::part::Part;
    use crate::state::TaskState;

    #[test]
    fn unset_zero_and_n_differ() {
        let message = |id: u32| Message::new(id.to_string(), Role::User, vec![Part::text("a")]);
        for (length, expected) in [
            (None, Some(vec!["0", "1", "2"])),
            (Some(0), None),
            (Some(1), Some(vec!["2"])),
            (Some(2), Some(vec!["1", "2"])),
            (Some(9), Some(vec!["0", "1", "2"])),
        ] {
            let mut task = Task::new("t", "c", TaskState::Working);
            task.history = Some((0..3).map(message).collect());
            task.limit_history(length);
            let left = task.history.as_ref();
            let left = left.map(|all| all.iter().map(|m| &*m.message_id).collect::<Vec<_>>());
            assert_eq!(left, expected);
        }
    }
}
