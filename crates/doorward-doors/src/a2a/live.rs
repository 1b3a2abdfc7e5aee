//! Tasks that this gateway works on: each has one sequence of events, which any number of streams follow from where they
//! have come in.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use doorward_a2a::event::{ArtifactUpdate, StatusUpdate};
use doorward_a2a::fields::Other;
use doorward_a2a::timestamp::Timestamp;
use doorward_a2a::{Artifact, Event, Message, Task, TaskState, TaskStatus};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// Events that are remembered of a task. Who reads more slowly misses what has happened in between; the last ones, which end
/// it, are not among that.
const REMEMBERED: usize = 256;

/// The tasks that this gateway works on, by ID.
#[derive(Default)]
pub struct Running(Mutex<HashMap<String, Arc<Live>>>);

impl Running {
    pub fn find(&self, id: &str) -> Option<Arc<Live>> {
        self.0.lock().get(id).cloned()
    }

    pub fn add(self: &Arc<Self>, live: &Arc<Live>) -> Registered {
        let id = live.state.lock().task.id.clone();
        self.0.lock().insert(id.clone(), live.clone());
        Registered { all: self.clone(), live: live.clone(), id }
    }
}

/// A task is worked on for as long as this is held.
pub struct Registered {
    all: Arc<Running>,
    live: Arc<Live>,
    id: String,
}

impl Drop for Registered {
    fn drop(&mut self) {
        let mut all = self.all.0.lock();
        if all.get(&self.id).is_some_and(|live| Arc::ptr_eq(live, &self.live)) {
            all.remove(&self.id);
        }
        drop(all);
        self.live.end();
    }
}

/// A task that is worked on.
pub struct Live {
    state: Mutex<State>,
    changed: watch::Sender<()>,
    /// Cancelled by its client.
    pub cancel: CancellationToken,
}

struct State {
    task: Task,
    events: VecDeque<Event>,
    /// How many have been forgotten.
    forgotten: usize,
    /// The message of the status is passing news, which the history does not have.
    is_passing: bool,
    is_over: bool,
}

/// Where somebody stands who follows a task.
#[derive(Debug, Clone, Copy)]
pub struct Place(usize);

/// A point in time, as tasks have it.
pub fn timestamp() -> Option<Timestamp> {
    Timestamp::of_millis(jiff::Timestamp::now().as_millisecond())
}

impl Live {
    pub fn new(task: Task) -> Arc<Self> {
        let (events, is_over) = (VecDeque::new(), false);
        let state = State { task, events, forgotten: 0, is_passing: false, is_over };
        Arc::new(Self {
            state: Mutex::new(state),
            changed: watch::Sender::new(()),
            cancel: CancellationToken::new(),
        })
    }

    /// The task as it is now, and where to follow it from.
    pub fn now(&self) -> (Task, Place) {
        let state = self.state.lock();
        (state.task.clone(), Place(state.forgotten + state.events.len()))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock());
        self.changed.send_replace(());
    }

    /// Tells what happens meanwhile.
    pub fn tell(&self, message: Message) {
        self.change(|state| {
            let before = state.task.status.timestamp.clone();
            state.put(TaskState::Working, Some(message), before);
            state.is_passing = true;
        });
    }

    /// The same, if there is anything to tell.
    pub fn tell_if(&self, message: Option<Message>) {
        if let Some(message) = message {
            self.tell(message);
        }
    }

    /// What the task becomes with a new status, and an artifact before it. Nobody sees it yet.
    pub fn with(
        &self,
        state: TaskState,
        message: Option<Message>,
        artifact: Option<Artifact>,
        metadata: Option<doorward_mcp::Value>,
    ) -> Ended {
        let now = self.state.lock();
        let mut next = State {
            task: now.task.clone(),
            events: VecDeque::new(),
            forgotten: 0,
            is_passing: now.is_passing,
            is_over: false,
        };
        drop(now);
        if metadata.is_some() {
            next.task.metadata = metadata;
        }
        if let Some(artifact) = artifact {
            next.task.artifacts.get_or_insert_default().push(artifact.clone());
            next.push(|task| {
                Event::Artifact(Box::new(ArtifactUpdate {
                    task_id: task.id.clone(),
                    context_id: task.context_id.clone(),
                    artifact,
                    append: false,
                    last_chunk: true,
                    metadata: None,
                    other: Other::default(),
                }))
            });
        }
        next.put(state, message, timestamp());
        Ended { task: next.task, events: next.events }
    }

    /// Shows what [`with`](Self::with) has made of the task.
    pub fn show(&self, ended: Ended) {
        self.change(|state| {
            state.task = ended.task;
            state.is_passing = false;
            for event in ended.events {
                state.remember(event);
            }
        });
    }

    /// Shows what others have made of the task.
    pub fn replace(&self, task: Task) {
        self.change(|state| {
            state.task = task;
            state.is_passing = false;
            state.push(status);
        });
    }

    /// Says that no more events come.
    pub fn end(&self) {
        self.change(|state| state.is_over = true);
    }

    /// Waits until there are no more events.
    pub async fn ended(&self) {
        let mut changed = self.changed.subscribe();
        let _ = changed.wait_for(|()| self.state.lock().is_over).await;
    }

    /// The next event after a place; `None` if there are no more.
    pub async fn next(&self, place: &mut Place) -> Option<Event> {
        let mut changed = self.changed.subscribe();
        loop {
            {
                let state = self.state.lock();
                let at = place.0.max(state.forgotten) - state.forgotten;
                if let Some(event) = state.events.get(at) {
                    place.0 = state.forgotten + at + 1;
                    return Some(event.clone());
                }
                if state.is_over {
                    return None;
                }
            }
            if changed.changed().await.is_err() {
                return None;
            }
        }
    }
}

/// What a task becomes, before anybody sees it.
pub struct Ended {
    pub task: Task,
    events: VecDeque<Event>,
}

fn status(task: &Task) -> Event {
    Event::Status(Box::new(StatusUpdate {
        task_id: task.id.clone(),
        context_id: task.context_id.clone(),
        status: task.status.clone(),
        is_final: task.status.state.ends_wait(),
        metadata: None,
        other: Other::default(),
    }))
}

impl State {
    fn put(&mut self, state: TaskState, message: Option<Message>, timestamp: Option<Timestamp>) {
        if let Some(before) = self.task.status.message.take()
            && !self.is_passing
        {
            self.task.history.get_or_insert_default().push(before);
        }
        self.is_passing = false;
        let message = message.map(|message| Message {
            task_id: Some(self.task.id.clone()),
            context_id: self.task.context_id.clone(),
            ..message
        });
        self.task.status = TaskStatus { state, message, timestamp, ..TaskStatus::default() };
        self.push(status);
    }

    fn push(&mut self, make: impl FnOnce(&Task) -> Event) {
        let event = make(&self.task);
        self.remember(event);
    }

    fn remember(&mut self, event: Event) {
        if self.events.len() == REMEMBERED {
            self.events.pop_front();
            self.forgotten += 1;
        }
        self.events.push_back(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use doorward_a2a::{Part, Role};

    fn message(text: &str) -> Message {
        Message::new(text, Role::Agent, vec![Part::text(text)])
    }

    fn told(event: &Event) -> String {
        match event {
            Event::Status(update) => {
                let text = update.status.message.as_ref().and_then(|it| it.parts[0].as_text());
                format!("{:?} {}", update.status.state, text.unwrap_or_default())
            }
            Event::Artifact(update) => update.artifact.artifact_id.clone(),
            other => format!("{other:?}"),
        }
    }

    async fn all(live: &Live, mut place: Place) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some(event) = live.next(&mut place).await {
            seen.push(told(&event));
        }
        seen
    }

    #[tokio::test]
    async fn all_who_follow_see_the_same_from_where_they_came_in() {
        let running = Arc::<Running>::default();
        let live = Live::new(Task::new("t", "c", TaskState::Working));
        let registered = running.add(&live);
        let (_, first) = live.now();
        live.tell(message("1"));
        let (task, second) = live.now();
        assert_eq!(task.status.message.unwrap().message_id, "1");
        live.tell(message("2"));
        let artifact = Artifact::new("a", vec![Part::text("x")]);
        let ended = live.with(TaskState::Completed, None, Some(artifact), None);
        assert_eq!(ended.task.status.state, TaskState::Completed);
        assert_eq!(live.now().0.status.state, TaskState::Working, "nobody sees it yet");
        live.show(ended);
        assert!(running.find("t").is_some());
        drop(registered);
        assert!(running.find("t").is_none());
        let whole = ["Working 1", "Working 2", "a", "Completed "];
        assert_eq!(all(&live, first).await, whole);
        assert_eq!(all(&live, second).await, whole[1..]);
        // Passing news are none of the history.
        assert_eq!(live.now().0.history.unwrap_or_default().len(), 0);
        live.ended().await;
    }

    #[tokio::test]
    async fn who_reads_too_slowly_still_sees_the_end() {
        let live = Live::new(Task::new("t", "c", TaskState::Working));
        let (_, place) = live.now();
        for number in 0..2 * REMEMBERED {
            live.tell(message(&number.to_string()));
        }
        live.show(live.with(TaskState::InputRequired, Some(message("end")), None, None));
        live.end();
        let seen = all(&live, place).await;
        assert_eq!((seen.len(), seen.last().unwrap().as_str()), (REMEMBERED, "InputRequired end"));
    }
}
