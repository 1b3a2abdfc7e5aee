//! States of tasks, and which end what (spec 1.0 §4.1.3).

use doorward_mcp::json::Value;

use crate::error::Invalid;
use crate::revision::Form;

/// The state of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum TaskState {
    /// `unknown` in 0.3.
    #[default]
    Unspecified,
    Submitted,
    Working,
    Completed,
    Failed,
    Canceled,
    InputRequired,
    Rejected,
    AuthRequired,
}

impl TaskState {
    /// All states, each at the place of its number in ProtoJSON.
    pub const ALL: [Self; 9] = [
        Self::Unspecified,
        Self::Submitted,
        Self::Working,
        Self::Completed,
        Self::Failed,
        Self::Canceled,
        Self::InputRequired,
        Self::Rejected,
        Self::AuthRequired,
    ];

    /// The name in a form.
    pub const fn name(self, form: Form) -> &'static str {
        match (form, self) {
            (Form::Kind, Self::Unspecified) => "unknown",
            (Form::Kind, Self::Submitted) => "submitted",
            (Form::Kind, Self::Working) => "working",
            (Form::Kind, Self::Completed) => "completed",
            (Form::Kind, Self::Failed) => "failed",
            (Form::Kind, Self::Canceled) => "canceled",
            (Form::Kind, Self::InputRequired) => "input-required",
            (Form::Kind, Self::Rejected) => "rejected",
            (Form::Kind, Self::AuthRequired) => "auth-required",
            (_, Self::Unspecified) => "TASK_STATE_UNSPECIFIED",
            (_, Self::Submitted) => "TASK_STATE_SUBMITTED",
            (_, Self::Working) => "TASK_STATE_WORKING",
            (_, Self::Completed) => "TASK_STATE_COMPLETED",
            (_, Self::Failed) => "TASK_STATE_FAILED",
            (Form::Proto, Self::Canceled) => "TASK_STATE_CANCELLED",
            (Form::V1, Self::Canceled) => "TASK_STATE_CANCELED",
            (_, Self::InputRequired) => "TASK_STATE_INPUT_REQUIRED",
            (_, Self::Rejected) => "TASK_STATE_REJECTED",
            (_, Self::AuthRequired) => "TASK_STATE_AUTH_REQUIRED",
        }
    }

    pub(crate) fn read(value: &Value, form: Form) -> Result<Self, Invalid> {
        let Some(name) = value.as_str() else {
            let number = value.as_u64().filter(|_| form.is_proto());
            let state = number.and_then(|n| Self::ALL.get(usize::try_from(n).ok()?));
            return state.copied().ok_or_else(|| Invalid::new("must be the name of a task state"));
        };
        Self::of_name(&name, form)
    }

    /// The state with a name of this form.
    ///
    /// # Errors
    /// Says which names there are.
    pub fn of_name(name: &str, form: Form) -> Result<Self, Invalid> {
        let known = |state: &Self| {
            // 0.3 has both spellings, in its description and in its JSON.
            state.name(form) == name || (form == Form::Proto && state.name(Form::V1) == name)
        };
        Self::ALL.into_iter().find(known).ok_or_else(|| {
            let names: Vec<_> = Self::ALL[1..].iter().map(|state| state.name(form)).collect();
            Invalid::new(format!("unknown task state; must be one of {}", names.join(", ")))
        })
    }

    /// Whether the task is over: it takes no messages any more, cannot be cancelled, and its streams end.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Canceled | Self::Rejected)
    }

    /// Whether the task waits for its client.
    pub const fn is_interrupted(self) -> bool {
        matches!(self, Self::InputRequired | Self::AuthRequired)
    }

    /// Whether a SendMessage that waits is answered in this state (spec 1.0 §3.2.2).
    pub const fn ends_wait(self) -> bool {
        self.is_terminal() || self.is_interrupted()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_its_name_in_every_form() {
        for form in Form::ALL {
            for state in TaskState::ALL {
                assert_eq!(TaskState::of_name(state.name(form), form), Ok(state));
            }
            assert!(TaskState::of_name("running", form).is_err());
        }
        assert!(TaskState::of_name("working", Form::V1).is_err());
        assert!(TaskState::of_name("TASK_STATE_WORKING", Form::Kind).is_err());
    }

    #[test]
    fn four_states_end_a_task_and_two_interrupt_it() {
        let count =
            |test: fn(TaskState) -> bool| TaskState::ALL.into_iter().filter(|s| test(*s)).count();
        assert_eq!(count(TaskState::is_terminal), 4);
        assert_eq!(count(TaskState::is_interrupted), 2);
        assert_eq!(count(TaskState::ends_wait), 6);
    }
}
