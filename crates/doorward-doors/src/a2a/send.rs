//! SendMessage and SendStreamingMessage: a message begins a task, or goes on with one.

use std::sync::Arc;

use doorward_a2a::error::{Error, ErrorKind};
use doorward_a2a::request::SendMessage;
use doorward_a2a::{Event, Message, Reply, Task, TaskState, TaskStatus};
use doorward_identity::seal::random_id;
use doorward_mcp::Object;
use doorward_mcp::interaction::Retry;
use doorward_store::now;
use doorward_web::Body;
use http::Response;

use super::Door;
use super::choice::{Choice, choose};
use super::fail::{Fail, unavailable};
use super::kept::{Kept, Next};
use super::live::{Live, Place, timestamp};
use super::message::{Intent, answers, invalid};
use super::result::Outcome;
use super::run::{Job, Runner};
use super::stream::{self, Source};
use crate::rest::making::{Named, Ready, params};

/// A task that has begun or goes on, as it was then.
struct Begun {
    live: Arc<Live>,
    task: Task,
    place: Place,
}

/// What a message leads to.
enum Step {
    Run(Box<Job>, Box<Ready>),
    Ask(Box<Outcome>),
}

pub async fn send(door: &Arc<Door>, sent: SendMessage) -> Result<Reply, Fail> {
    let (length, at_once) = (sent.history_length(), sent.returns_immediately());
    let begun = begin(door, sent).await?;
    let mut task = match at_once {
        true => begun.task,
        false => {
            begun.live.ended().await;
            begun.live.now().0
        }
    };
    task.limit_history(length);
    Ok(Reply::SentTask(task.into()))
}

pub async fn stream(door: &Arc<Door>, sent: SendMessage) -> Result<Response<Body>, Fail> {
    let length = sent.history_length();
    let Begun { live, mut task, place } = begin(door, sent).await?;
    task.limit_history(length);
    let source = Source::Live { live, place, goes_on: false };
    Ok(stream::response(door, Event::Task(task.into()), source))
}

async fn begin(door: &Arc<Door>, sent: SendMessage) -> Result<Begun, Fail> {
    if sent.configuration.as_ref().is_some_and(|it| it.push.is_some()) {
        let why = "This agent sends no push notifications; leave the configuration out";
        return Err(Error::new(ErrorKind::PushNotificationNotSupported, why).into());
    }
    let message = sent.message;
    let intent = Intent::of(&message)?;
    match message.task_id.clone() {
        None => new(door, message, intent).await,
        Some(id) => go_on(door, &id, message, intent).await,
    }
}

async fn call(door: &Door, tool: &str, arguments: Object) -> Result<Step, Fail> {
    let named = door.visit.named(tool, None).await;
    let mut job = Job { params: params(&named.shown, arguments), named, retry: None };
    let ready = job.ready(door)?;
    Ok(Step::Run(job.into(), ready.into()))
}

async fn in_words(door: &Door, text: &str) -> Result<Step, Fail> {
    match choose(&door.visit, text).await? {
        Choice::Call(tool, arguments) => call(door, &tool, arguments).await,
        Choice::Ask(outcome) => Ok(Step::Ask(outcome)),
    }
}

async fn new(door: &Arc<Door>, message: Message, intent: Intent) -> Result<Begun, Fail> {
    let step = match intent {
        Intent::Call { tool, arguments } => call(door, &tool, arguments).await?,
        Intent::Text(text) => in_words(door, &text).await?,
        Intent::Answers(_) => {
            return Err(invalid("message.taskId", "is required with 'inputResponses'").into());
        }
    };
    let failed = |_| Error::new(ErrorKind::Internal, "The random number generator failed");
    let context = match &message.context_id {
        Some(context) => context.clone(),
        None => random_id().map_err(failed)?,
    };
    let mut task = Task::new(random_id().map_err(failed)?, context, TaskState::Working);
    task.status.timestamp = timestamp();
    take(&mut task, message);
    show(door, task, step, None).await
}

/// Puts a message of the client into the history of its task.
fn take(task: &mut Task, message: Message) {
    let (task_id, context_id) = (Some(task.id.clone()), task.context_id.clone());
    let history = task.history.get_or_insert_default();
    history.push(Message { task_id, context_id, ..message });
}

/// Goes on with a task that waits for its client.
async fn go_on(
    door: &Arc<Door>,
    id: &str,
    message: Message,
    intent: Intent,
) -> Result<Begun, Fail> {
    let Kept { row, mut task, next } = door.kept(id).await?;
    if message.context_id.is_some() && message.context_id != task.context_id {
        return Err(invalid("message.contextId", "is not that of the task").into());
    }
    let refuse = |why: &str| Error::new(ErrorKind::UnsupportedOperation, why).with("taskId", id);
    let next = match (task.status.state, next) {
        (state, _) if state.is_terminal() => {
            return Err(refuse("The task is over, and takes no messages. Begin another one").into());
        }
        (_, Some(next)) => next,
        (_, None) => {
            return Err(refuse("The task is worked on, and takes no messages meanwhile").into());
        }
    };
    let step = match (next, intent) {
        (Next::Choice, Intent::Call { tool, arguments }) => call(door, &tool, arguments).await?,
        (Next::Choice, Intent::Text(text)) => in_words(door, &text).await?,
        (Next::Choice, Intent::Answers(_)) => {
            let why = "must name a tool: the task waits for a choice";
            return Err(invalid("message.parts", why).into());
        }
        (Next::Input { .. }, Intent::Call { .. }) => {
            let why = "must be a text, or have 'inputResponses': the task waits for input";
            return Err(invalid("message.parts", why).into());
        }
        (Next::Input { params, told, shown, requests, state }, intent) => {
            let responses = match intent {
                Intent::Answers(responses) => responses,
                Intent::Text(text) => {
                    let requests = Object::parse(&requests.into()).unwrap_or_default();
                    answers(&requests, &text).ok_or_else(|| {
                        let why = "must be a data part with 'inputResponses': a text does not answer what is asked for";
                        invalid("message.parts", why)
                    })?
                }
                Intent::Call { .. } => Object::new(),
            };
            let params = Object::parse(&params.into()).unwrap_or_default();
            let retry = Some(Retry { responses, state });
            let mut job = Job { params, named: Named { told, shown }, retry };
            let ready = job.ready(door)?;
            Step::Run(job.into(), ready.into())
        }
    };
    if let Some(before) = task.status.message.take() {
        task.history.get_or_insert_default().push(before);
    }
    take(&mut task, message);
    task.status =
        TaskStatus { state: TaskState::Working, timestamp: timestamp(), ..TaskStatus::default() };
    show(door, task, step, Some(row.version)).await
}

/// Stores a task, and makes its call or asks its client. `before` is the version that it had in the store.
async fn show(
    door: &Arc<Door>,
    task: Task,
    step: Step,
    before: Option<i64>,
) -> Result<Begun, Fail> {
    let live = Live::new(task.clone());
    let (_, place) = live.now();
    match step {
        Step::Run(job, ready) => {
            store(door, &task, None, before).await?;
            let version = before.map_or(0, |before| before + 1);
            let registered = door.running.add(&live);
            let runner =
                Runner { door: door.clone(), job: *job, live: live.clone(), registered, version };
            door.visit.gateway.shared.tasks.spawn(runner.run(*ready));
        }
        Step::Ask(outcome) => {
            let Outcome { state, message, artifact } = *outcome;
            let ended = live.with(state, message, artifact, None);
            store(door, &ended.task, Some(&Next::Choice), before).await?;
            live.show(ended);
            live.end();
        }
    }
    Ok(Begun { live, task, place })
}

/// Stores a new task, or what a known one has become.
async fn store(
    door: &Door,
    task: &Task,
    next: Option<&Next>,
    before: Option<i64>,
) -> Result<(), Fail> {
    let row = door.row(task, next, before.unwrap_or_default());
    let (stored, kind, why) = match before {
        None => (
            door.store.begin_agent_task(&row, now()).await,
            ErrorKind::ResourceExhausted,
            "Too many tasks of this caller are not over. Wait for them, answer or cancel some",
        ),
        Some(_) => (
            door.store.change_agent_task(&row).await,
            ErrorKind::UnsupportedOperation,
            "The task has changed meanwhile. Get it again",
        ),
    };
    match stored.map_err(|error| unavailable(&error))? {
        true => Ok(()),
        false => Err(Error::new(kind, why).into()),
    }
}
