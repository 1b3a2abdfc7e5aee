//! GetTask, ListTasks, CancelTask and SubscribeToTask.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use doorward_a2a::error::{Error, ErrorKind};
use doorward_a2a::fields::Other;
use doorward_a2a::reply::TaskPage;
use doorward_a2a::request::{GetTask, ListTasks};
use doorward_a2a::{Event, Reply, Revision, TaskState, TaskStatus};
use doorward_mcp::Object;
use doorward_store::{AgentTaskFilter, AgentTaskState, now};
use doorward_web::Body;
use http::Response;

use super::Door;
use super::fail::{Fail, unavailable};
use super::kept::{Kept, Next, context_hash, stored_state};
use super::live::timestamp;
use super::message::invalid;
use super::stream::{self, Source};

/// How long a cancelled call may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

pub async fn get(door: &Door, get: GetTask) -> Result<Reply, Fail> {
    let mut task = door.kept(&get.id).await?.task;
    if let Some(live) = door.running.find(&get.id) {
        task = live.now().0;
    }
    task.limit_history(get.history_length);
    Ok(Reply::Task(task.into()))
}

pub async fn list(door: &Door, list: &ListTasks) -> Result<Reply, Fail> {
    let states = match list.status {
        None | Some(TaskState::Unspecified) => Vec::new(),
        Some(TaskState::Failed) => vec![AgentTaskState::Failed, AgentTaskState::Lost],
        Some(state) => match stored_state(state) {
            Some(state) => vec![state],
            // No task is in this state.
            None => return Ok(page(list, Vec::new(), String::new(), 0)),
        },
    };
    let since = list.status_timestamp_after.as_ref().map_or(i128::MIN, |after| {
        // Tasks have milliseconds.
        after.nanos().div_euclid(1_000_000) + i128::from(after.nanos().rem_euclid(1_000_000) > 0)
    });
    let after = list.page_token.as_deref().map(read_token).transpose()?;
    let size = list.page_size();
    let filter = AgentTaskFilter {
        owner: door.owner.clone(),
        portal: door.visit.portal.name().to_owned(),
        context: list.context_id.as_deref().map(context_hash),
        states,
        since: i64::try_from(since).unwrap_or(i64::MIN),
        after,
        // One more tells whether there is another page.
        limit: size + 1,
    };
    let (mut rows, total) =
        door.store.agent_tasks(&filter, now()).await.map_err(|error| unavailable(&error))?;
    let has_more = rows.len() > size as usize;
    rows.truncate(size as usize);
    let token = rows
        .last()
        .filter(|_| has_more)
        .map(|last| URL_SAFE_NO_PAD.encode(format!("{}:{}", last.updated, last.id)));
    let tasks = rows.into_iter().map(|row| {
        let mut task = match door.running.find(&row.id) {
            Some(live) => live.now().0,
            None => door.open(row).task,
        };
        list.shorten(&mut task);
        task
    });
    Ok(page(list, tasks.collect(), token.unwrap_or_default(), total))
}

fn page(
    list: &ListTasks,
    tasks: Vec<doorward_a2a::Task>,
    next_page_token: String,
    total: i64,
) -> Reply {
    Reply::Tasks(TaskPage {
        tasks,
        next_page_token,
        page_size: list.page_size(),
        total_size: u32::try_from(total).unwrap_or(u32::MAX),
        other: Other::default(),
    })
}

fn read_token(token: &str) -> Result<(i64, String), Error> {
    let read = || {
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(token).ok()?).ok()?;
        let (updated, id) = text.split_once(':')?;
        Some((updated.parse().ok()?, id.to_owned()))
    };
    read().ok_or_else(|| invalid("pageToken", "is not one of this list"))
}

fn over() -> Fail {
    let why = "The task is over, and cannot be cancelled";
    Error::new(ErrorKind::TaskNotCancelable, why).into()
}

pub async fn cancel(door: &Door, id: &str) -> Result<Reply, Fail> {
    let kept = door.kept(id).await?;
    if kept.task.status.state.is_terminal() {
        return Err(over());
    }
    if let Some(live) = door.running.find(id) {
        live.cancel.cancel();
        // Its call is stopped where it is.
        let _ = tokio::time::timeout(PATIENCE, live.ended()).await;
        let task = live.now().0;
        return match task.status.state {
            TaskState::Canceled => Ok(Reply::Task(task.into())),
            state if state.is_terminal() => Err(over()),
            // It had just come to wait for its client.
            _ => Box::pin(cancel_stored(door, door.kept(id).await?)).await,
        };
    }
    cancel_stored(door, kept).await
}

/// Cancels a task that waits, or that another replica works on, which then stops its call.
async fn cancel_stored(door: &Door, kept: Kept) -> Result<Reply, Fail> {
    let Kept { row, mut task, next } = kept;
    if task.status.state.is_terminal() {
        return Err(over());
    }
    if let Some(message) = task.status.message.take() {
        task.history.get_or_insert_default().push(message);
    }
    task.status =
        TaskStatus { state: TaskState::Canceled, timestamp: timestamp(), ..TaskStatus::default() };
    let to = door.row(&task, None, row.version);
    if !door.store.change_agent_task(&to).await.map_err(|error| unavailable(&error))? {
        let why = "The task has changed meanwhile. Get it again";
        return Err(Error::new(ErrorKind::TaskNotCancelable, why).into());
    }
    withdraw(door, next.as_ref()).await;
    Ok(Reply::Task(task.into()))
}

/// Nobody needs to decide any more about a call that waits for its approval.
async fn withdraw(door: &Door, next: Option<&Next>) {
    let Some(Next::Input { requests, .. }) = next else { return };
    let (gateway, who) = (&door.visit.gateway, &door.visit.caller.principal.who);
    let page = format!("{}/approvals/", gateway.identity.resources.origin());
    let requests = Object::parse(&requests.clone().into()).unwrap_or_default();
    let params = requests.object("approval").and_then(|it| Some(it.object("params")?.into_owned()));
    let url = params.and_then(|it| it.string("url").map(std::borrow::Cow::into_owned));
    let Some(id) = url.as_deref().and_then(|url| url.strip_prefix(&page)) else { return };
    let Ok(Some(approval)) = door.store.approval(id).await else { return };
    // A server may name any page.
    if approval.asker.kind != who.kind || approval.asker.id != who.id {
        return;
    }
    let why = "its caller has cancelled the call";
    match door.store.withdraw_approval(&approval, why).await {
        Ok(_) => gateway.approvals.tell(id),
        Err(error) => tracing::warn!(%error, "an approval was not withdrawn"),
    }
}

pub async fn subscribe(door: &Arc<Door>, id: &str) -> Result<Response<Body>, Fail> {
    let kept = door.kept(id).await?;
    if let Some(live) = door.running.find(id) {
        let (task, place) = live.now();
        // In 0.3 a stream ends where the task waits for its client.
        let goes_on = door.asked.revision == Revision::V1_0;
        let source = Source::Live { live, place, goes_on };
        return Ok(stream::response(door, Event::Task(task.into()), source));
    }
    if kept.task.status.state.is_terminal() {
        let why = "The task is over: get it";
        return Err(Error::new(ErrorKind::UnsupportedOperation, why).with("taskId", id).into());
    }
    let source = Source::Store { id: id.to_owned(), version: kept.row.version };
    Ok(stream::response(door, Event::Task(kept.task.into()), source))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_one_of_a_list() {
        let token = URL_SAFE_NO_PAD.encode("17:ab");
        assert_eq!(read_token(&token).unwrap(), (17, "ab".to_owned()));
        for wrong in ["", "x", "%", &URL_SAFE_NO_PAD.encode("a:b"), &URL_SAFE_NO_PAD.encode("17")] {
            assert!(read_token(wrong).is_err(), "{wrong}");
        }
    }
}
