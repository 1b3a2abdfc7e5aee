//! What order the events of a stream must have (spec 1.0 §3.1.2, §3.1.6, §11.7), and what they make of a task.

use crate::event::{Event, StatusUpdate};
use crate::fields::MOST_ITEMS;
use crate::message::Message;
use crate::revision::Revision;
use crate::state::TaskState;
use crate::task::{Artifact, Task};

/// Checks the events of one stream, one by one. A relay passes an event on if it is accepted.
#[derive(Debug, Clone)]
pub struct StreamOrder {
    revision: Revision,
    /// The stream of an existing task: a message cannot begin it.
    subscribed: bool,
    phase: Phase,
}

#[derive(Debug, Clone)]
enum Phase {
    Begin,
    Task {
        id: String,
        context_id: Option<String>,
    },
    /// The task is over: a last snapshot of it may follow.
    Over {
        id: String,
    },
    Ended,
}

/// What follows an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// More events: a stream that ends here has been cut off.
    More,
    /// The stream may end here, for the task waits for its client.
    MayEnd,
    /// Nothing: the stream ends here.
    End,
}

/// Why an event is out of order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutOfOrder {
    #[error("a stream begins with a task or a message")]
    NoBeginning,
    #[error("a stream of an existing task begins with the task")]
    NoTask,
    #[error("a message is the only event of its stream")]
    MessageWithinTask,
    #[error("an event of another task or context")]
    OtherTask,
    #[error("an event after the end of the stream")]
    AfterEnd,
}

impl StreamOrder {
    /// For the answer to a message.
    pub const fn sent(revision: Revision) -> Self {
        Self { revision, subscribed: false, phase: Phase::Begin }
    }

    /// For the answer to SubscribeToTask.
    pub const fn subscribed(revision: Revision) -> Self {
        Self { revision, subscribed: true, phase: Phase::Begin }
    }

    /// Takes the next event. Agents of 0.3 may begin with an update of the task; [`opening`] makes the task that a client
    /// of 1.0 has to get before.
    ///
    /// # Errors
    /// If the event must not be where it is; the order is then as it was before.
    pub fn accept(&mut self, event: &Event) -> Result<Next, OutOfOrder> {
        match &self.phase {
            Phase::Begin => match event {
                Event::Message(_) if self.subscribed => return Err(OutOfOrder::NoTask),
                Event::Message(_) => {
                    self.phase = Phase::Ended;
                    return Ok(Next::End);
                }
                Event::Task(_) => {}
                Event::Status(_) | Event::Artifact(_) if self.revision == Revision::V0_3 => {}
                Event::Status(_) | Event::Artifact(_) => return Err(OutOfOrder::NoBeginning),
            },
            Phase::Task { id, context_id } => {
                if matches!(event, Event::Message(_)) {
                    return Err(OutOfOrder::MessageWithinTask);
                }
                let other = event.context_id().filter(|other| !other.is_empty());
                let differs = |own: &String| other.is_some_and(|other| other != own);
                if event.task_id() != Some(&**id) || context_id.as_ref().is_some_and(differs) {
                    return Err(OutOfOrder::OtherTask);
                }
            }
            Phase::Over { id } => {
                let is_snapshot = matches!(event, Event::Task(task) if task.id == *id && task.status.state.is_terminal());
                if !is_snapshot {
                    return Err(OutOfOrder::AfterEnd);
                }
                self.phase = Phase::Ended;
                return Ok(Next::End);
            }
            Phase::Ended => return Err(OutOfOrder::AfterEnd),
        }
        Ok(self.advance(event))
    }

    fn advance(&mut self, event: &Event) -> Next {
        let id = event.task_id().unwrap_or_default().to_owned();
        let (state, is_final) = match event {
            Event::Task(task) => (Some(task.status.state), false),
            Event::Status(update) => (Some(update.status.state), update.is_final),
            Event::Artifact(_) | Event::Message(_) => (None, false),
        };
        if state.is_some_and(TaskState::is_terminal) {
            self.phase = Phase::Over { id };
            return Next::End;
        }
        if is_final && self.revision == Revision::V0_3 {
            self.phase = Phase::Ended;
            return Next::End;
        }
        let known = match &mut self.phase {
            Phase::Task { context_id, .. } => context_id.take(),
            _ => None,
        };
        let context_id =
            known.or_else(|| event.context_id().map(str::to_owned)).filter(|id| !id.is_empty());
        self.phase = Phase::Task { id, context_id };
        if state.is_some_and(TaskState::is_interrupted) { Next::MayEnd } else { Next::More }
    }

    /// Whether the stream has reached its end: one that stops before has been cut off.
    pub const fn has_ended(&self) -> bool {
        matches!(self.phase, Phase::Over { .. } | Phase::Ended)
    }
}

/// The task with which a stream of 1.0 begins, where an agent of 0.3 begins with an update.
pub fn opening(event: &Event) -> Option<Task> {
    let mut task =
        Task::new(event.task_id()?, event.context_id().unwrap_or_default(), Default::default());
    task.context_id = event.context_id().map(str::to_owned);
    match event {
        Event::Status(update) => task.status = update.status.clone(),
        Event::Artifact(_) => task.status.state = TaskState::Working,
        Event::Task(_) | Event::Message(_) => return None,
    }
    Some(task)
}

impl Event {
    /// The task that it is about.
    pub fn task_id(&self) -> Option<&str> {
        match self {
            Self::Task(task) => Some(&task.id),
            Self::Message(message) => message.task_id.as_deref(),
            Self::Status(update) => Some(&update.task_id),
            Self::Artifact(update) => Some(&update.task_id),
        }
    }

    pub fn context_id(&self) -> Option<&str> {
        match self {
            Self::Task(task) => task.context_id.as_deref(),
            Self::Message(message) => message.context_id.as_deref(),
            Self::Status(update) => update.context_id.as_deref(),
            Self::Artifact(update) => update.context_id.as_deref(),
        }
    }
}

/// An event that a stored task does not take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotApplied {
    #[error("the event is of another task")]
    OtherTask,
    #[error("the task is over")]
    Over,
    #[error("the task has too many artifacts, parts or messages")]
    TooMany,
}

impl Task {
    /// Makes of the task what an event says. The message of the status before goes to the history, as the reference SDK
    /// does it. How many bytes a task may have is the caller's to bound; artifacts, parts and messages are at most
    /// [`MOST_ITEMS`] each.
    ///
    /// # Errors
    /// If the event is of another task, or comes too late, or would make the task too large: it is then as it was.
    pub fn apply(&mut self, event: &Event) -> Result<(), NotApplied> {
        if event.task_id() != Some(&*self.id) {
            return Err(NotApplied::OtherTask);
        }
        match event {
            Event::Task(task) => *self = (**task).clone(),
            Event::Message(_) => return Err(NotApplied::OtherTask),
            Event::Status(_) | Event::Artifact(_) if self.status.state.is_terminal() => {
                return Err(NotApplied::Over);
            }
            Event::Status(update) => self.apply_status(update)?,
            Event::Artifact(update) => self.apply_artifact(&update.artifact, update.append)?,
        }
        Ok(())
    }

    fn apply_status(&mut self, update: &StatusUpdate) -> Result<(), NotApplied> {
        if let Some(before) = self.status.message.take()
            && let Err(before) = self.remember(before)
        {
            self.status.message = Some(*before);
            return Err(NotApplied::TooMany);
        }
        self.status = update.status.clone();
        Ok(())
    }

    /// Appends a message to the history, or gives it back.
    fn remember(&mut self, message: Message) -> Result<(), Box<Message>> {
        let history = self.history.get_or_insert_default();
        if history.len() >= MOST_ITEMS {
            return Err(message.into());
        }
        history.push(message);
        Ok(())
    }

    fn apply_artifact(&mut self, artifact: &Artifact, append: bool) -> Result<(), NotApplied> {
        let artifacts = self.artifacts.get_or_insert_default();
        let same = artifacts.iter().position(|known| known.artifact_id == artifact.artifact_id);
        let Some(at) = same else {
            if artifacts.len() >= MOST_ITEMS {
                return Err(NotApplied::TooMany);
            }
            artifacts.push(artifact.clone());
            return Ok(());
        };
        let known = &mut artifacts[at];
        if !append {
            *known = artifact.clone();
        } else if known.parts.len() + artifact.parts.len() > MOST_ITEMS {
            return Err(NotApplied::TooMany);
        } else {
            known.parts.extend(artifact.parts.iter().cloned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ArtifactUpdate;
    use crate::message::Role;
    use crate::part::Part;

    fn task(id: &str, state: TaskState) -> Event {
        Event::Task(Task::new(id, "c", state).into())
    }

    fn message() -> Event {
        Event::Message(Message::new("m", Role::Agent, vec![Part::text("a")]).into())
    }

    fn status(id: &str, state: TaskState, is_final: bool) -> Event {
        let mut status = crate::task::TaskStatus { state, ..Default::default() };
        status.message =
            Some(Message::new(format!("{state:?}"), Role::Agent, vec![Part::text("a")]));
        let (task_id, context_id) = (id.to_owned(), Some("c".to_owned()));
        let other = Default::default();
        Event::Status(
            StatusUpdate { task_id, context_id, status, is_final, metadata: None, other }.into(),
        )
    }

    fn artifact(append: bool) -> Event {
        let artifact = Artifact::new("a", vec![Part::text("part")]);
        let (task_id, context_id) = ("t".to_owned(), Some("c".to_owned()));
        let (last_chunk, metadata, other) = (false, None, Default::default());
        Event::Artifact(
            ArtifactUpdate { task_id, context_id, artifact, append, last_chunk, metadata, other }
                .into(),
        )
    }

    fn run(mut order: StreamOrder, events: &[Event]) -> Vec<Result<Next, OutOfOrder>> {
        events.iter().map(|event| order.accept(event)).collect()
    }

    #[test]
    fn a_stream_is_a_message_or_a_task_and_its_updates() {
        use TaskState::{Completed, InputRequired, Submitted, Working};
        let sent = || StreamOrder::sent(Revision::V1_0);
        assert_eq!(
            run(sent(), &[message(), task("t", Working)]),
            [Ok(Next::End), Err(OutOfOrder::AfterEnd)]
        );
        assert_eq!(
            run(
                sent(),
                &[
                    task("t", Submitted),
                    status("t", Working, false),
                    message(),
                    artifact(true),
                    status("u", Working, false),
                    status("t", InputRequired, true),
                    status("t", Completed, true),
                    artifact(true),
                    task("t", Completed),
                    task("t", Completed),
                ]
            ),
            [
                Ok(Next::More),
                Ok(Next::More),
                Err(OutOfOrder::MessageWithinTask),
                Ok(Next::More),
                Err(OutOfOrder::OtherTask),
                Ok(Next::MayEnd),
                Ok(Next::End),
                Err(OutOfOrder::AfterEnd),
                Ok(Next::End),
                Err(OutOfOrder::AfterEnd),
            ]
        );
        assert_eq!(
            run(sent(), &[task("t", Completed), task("t", Working)]),
            [Ok(Next::End), Err(OutOfOrder::AfterEnd)]
        );
        assert_eq!(run(sent(), &[status("t", Working, false)]), [Err(OutOfOrder::NoBeginning)]);
        assert_eq!(
            run(StreamOrder::subscribed(Revision::V1_0), &[message()]),
            [Err(OutOfOrder::NoTask)]
        );
    }

    #[test]
    fn a_stream_of_0_3_may_begin_with_an_update_and_ends_when_it_says_so() {
        let begin = status("t", TaskState::Working, false);
        let mut order = StreamOrder::sent(Revision::V0_3);
        assert_eq!(order.accept(&begin), Ok(Next::More));
        assert!(!order.has_ended());
        assert_eq!(order.accept(&status("t", TaskState::InputRequired, true)), Ok(Next::End));
        assert!(order.has_ended());
        let opening_task = opening(&begin).unwrap();
        assert_eq!((&*opening_task.id, opening_task.status.state), ("t", TaskState::Working));
        assert!(opening(&task("t", TaskState::Working)).is_none());
    }

    #[test]
    fn events_make_the_task() {
        let mut stored = Task::new("t", "c", TaskState::Submitted);
        stored.apply(&status("t", TaskState::Working, false)).unwrap();
        stored.apply(&artifact(false)).unwrap();
        stored.apply(&artifact(true)).unwrap();
        assert_eq!(stored.artifacts.as_ref().unwrap()[0].parts.len(), 2);
        stored.apply(&artifact(false)).unwrap();
        assert_eq!(stored.artifacts.as_ref().unwrap()[0].parts.len(), 1);
        stored.apply(&status("t", TaskState::Completed, true)).unwrap();
        assert_eq!(stored.history.as_ref().unwrap()[0].message_id, "Working");
        assert_eq!(stored.apply(&artifact(false)), Err(NotApplied::Over));
        assert_eq!(
            stored.apply(&status("u", TaskState::Working, false)),
            Err(NotApplied::OtherTask)
        );
        assert_eq!(stored.apply(&message()), Err(NotApplied::OtherTask));
    }

    #[test]
    fn a_task_does_not_grow_without_bound() {
        let mut stored = Task::new("t", "c", TaskState::Working);
        let mut results = (0..=MOST_ITEMS).map(|_| stored.apply(&artifact(true)));
        assert_eq!(results.find(Result::is_err), Some(Err(NotApplied::TooMany)));
        let mut results =
            (0..MOST_ITEMS + 2).map(|_| stored.apply(&status("t", TaskState::Working, false)));
        assert_eq!(results.find(Result::is_err), Some(Err(NotApplied::TooMany)));
        assert_eq!(stored.history.unwrap().len(), MOST_ITEMS);
        assert!(stored.status.message.is_some());
    }
}
