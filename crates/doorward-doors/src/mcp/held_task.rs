//! Held calls as tasks (the tasks extension of 2026-07-28), for clients that take tasks: waiting for an approval costs no
//! connection. The call is kept, sealed, in the store. When its client asks for the task after the approval, the call goes
//! through the whole pipeline, with the credential of whoever asks, and uses its approval like any other call: once.

mod next;
mod running;
mod stored;

use std::sync::Arc;

use doorward_config::Explain;
use doorward_core::Failure;
use doorward_gateway::approvals::answer::{task_purpose, url};
use doorward_gateway::call::{
    Asks, Call, CallError, CallId, Events, HeldTask, Portal, Protocol, Reply,
};
use doorward_gateway::gateway::Gateway;
use doorward_gateway::pipeline::{self, Refusal, refusal};
use doorward_governance::approvals::Approval;
use doorward_identity::identity::Caller;
use doorward_mcp::error::Kind;
use doorward_mcp::interaction::{self, InputRequired, Retry};
use doorward_mcp::meta::Client;
use doorward_mcp::{Object, Revision, RpcError, capabilities, method};
use doorward_store::{ApprovalTask, Store, TaskState, now, random_id};
use doorward_upstream::state::names_a_task;
use jiff::Timestamp;

use self::next::{Next, next};
use self::running::Runner;
use self::stored::{Outcome, Stored, who};

/// How long what came of a task is kept beyond the longest time that its approval can take, in seconds.
const KEPT: i64 = 3_600;
/// Longest call that is kept, sealed, in bytes.
const MOST_REQUEST: usize = 256 << 10;
/// Longest that is kept of what has come of it, sealed, in bytes.
const MOST_OUTCOME: usize = 2 << 20;
/// How often a task is looked at while others change it.
const ROUNDS: usize = 3;

/// A request, as far as a held call needs it: as its client has sent it.
struct Sent {
    id: CallId,
    caller: Caller,
    protocol: Protocol,
    portal: Portal,
    client: Arc<Client>,
    conversation: Option<Box<str>>,
    method: Box<str>,
    params: Object,
    retry: Option<Retry>,
}

/// Takes a call through the pipeline, and answers what concerns held calls that are tasks.
pub async fn run(gateway: Arc<Gateway>, call: Box<Call>, events: Events) -> Result<Reply, Refusal> {
    let takes_tasks = capabilities::has_tasks(&call.client.capabilities);
    run_for(gateway, call, events, takes_tasks).await
}

/// The same for a client that takes held calls as tasks, whether or not it takes those of servers.
pub async fn run_for(
    gateway: Arc<Gateway>,
    mut call: Box<Call>,
    events: Events,
    takes_tasks: bool,
) -> Result<Reply, Refusal> {
    let concerns = *call.method == *method::TOOLS_CALL || names_a_task(&call.method);
    let takes_tasks = concerns && takes_tasks;
    let Some(store) = gateway.kept.store().filter(|_| takes_tasks).cloned() else {
        return pipeline::run(gateway, call, events).await;
    };
    call.notes.can_be_task = true;
    let sent = Sent {
        id: call.id,
        caller: call.caller.clone(),
        protocol: call.protocol,
        portal: call.portal.clone(),
        client: call.client.clone(),
        conversation: call.conversation.clone(),
        method: call.method.clone(),
        params: call.params.clone(),
        retry: call
            .retry
            .as_ref()
            .map(|retry| Retry { responses: retry.responses.clone(), state: retry.state.clone() }),
    };
    let desk = Desk { gateway: gateway.clone(), store, sent };
    match pipeline::run(gateway, call, events).await? {
        Reply::Held(held) => {
            Box::pin(async move {
                let answer = match held {
                    HeldTask::Begins(approval) => desk.begin(&approval).await,
                    HeldTask::Named(id) => desk.answer(&id).await,
                };
                answer.map(Reply::Result).map_err(|why| refusal(why, "", &desk.sent.id.to_string()))
            })
            .await
        }
        reply => Ok(reply),
    }
}

struct Desk {
    gateway: Arc<Gateway>,
    store: Store,
    sent: Sent,
}

impl Desk {
    fn principal(&self) -> &str {
        &self.sent.caller.principal.id
    }

    /// Makes a held call a task.
    async fn begin(&self, approval: &Approval) -> Result<Object, CallError> {
        let id = random_id::<16>().map_err(|error| {
            CallError::from(Failure::new(Kind::Overloaded, "No randomness").because(error))
        })?;
        let stored = Stored::of(&self.sent);
        let request =
            self.gateway.shared.sealer.seal(&stored, self.principal(), &purpose(&id), None);
        if request.len() > MOST_REQUEST {
            let why = "It requires approval, and it is too long to be kept as a task";
            return Err(Failure::new(Kind::Denied, why).into());
        }
        let created = now();
        let new = ApprovalTask {
            id,
            principal: self.principal().to_owned(),
            approval: approval.id.clone(),
            state: TaskState::Waiting,
            version: 0,
            created,
            // It may be approved at the last moment, and made at the last moment then.
            expires: approval.expires + approval.ttl() + KEPT,
            updated: created,
            lease: 0,
            request,
            outcome: String::new(),
        };
        let kept = self.store.begin_approval_task(&new, created).await.map_err(unavailable)?;
        let task = kept.ok_or_else(|| {
            let why =
                "Too many calls of this caller are tasks already. Wait for them, or cancel some";
            Failure::new(Kind::Overloaded, why)
        })?;
        let server = &approval.subject.server;
        let sealer = &self.gateway.shared.sealer;
        let mut name = sealer.seal(&task.id, self.principal(), &task_purpose(server), None);
        if self.sent.portal.is_merged() {
            name = format!("{server}.{name}");
        }
        let mut result = self.object(&task, &name, Some(approval))?;
        result.set("resultType", "task");
        Ok(result)
    }

    /// Answers `tasks/get`, `tasks/update` and `tasks/cancel`.
    async fn answer(&self, id: &str) -> Result<Object, CallError> {
        let task = self.read(id).await?;
        let opened = self.gateway.shared.sealer.open(&task.request, self.principal(), &purpose(id));
        let stored: Stored = opened.map_err(|_| unknown())?;
        // Whoever else the principal is could not use the approval.
        if stored.who != who(&self.sent) {
            return Err(unknown());
        }
        match (&*self.sent.method, task.state) {
            (method::TASKS_CANCEL, state) if state != TaskState::Passed => self.cancel(task).await,
            (method::TASKS_UPDATE, state) if state != TaskState::Passed => {
                let answers = self.sent.params.object(interaction::INPUT_RESPONSES);
                let wrong = || RpcError::invalid_params("'inputResponses' must be an object");
                let answers = answers.ok_or_else(wrong)?.into_owned();
                if state == TaskState::Input && self.go_on(task, &stored, &answers).await?.is_none()
                {
                    let why = "The task has changed meanwhile. Get it again";
                    return Err(RpcError::invalid_params(why).into());
                }
                Ok(acknowledged())
            }
            _ => {
                let task = self.proceed(task, &stored).await?;
                if task.state == TaskState::Passed {
                    return self.pass_on(&task, &stored).await;
                }
                let name = self.sent.params.string("taskId").unwrap_or_default();
                let approval = match task.state {
                    TaskState::Waiting => {
                        self.store.approval(&task.approval).await.map_err(unavailable)?
                    }
                    _ => None,
                };
                self.object(&task, &name, approval.as_ref())
            }
        }
    }

    async fn read(&self, id: &str) -> Result<ApprovalTask, CallError> {
        let task = self.store.approval_task(id, self.principal(), now()).await;
        task.map_err(unavailable)?.ok_or_else(unknown)
    }

    /// Does what can be done about a task now.
    async fn proceed(
        &self,
        mut task: ApprovalTask,
        stored: &Stored,
    ) -> Result<ApprovalTask, CallError> {
        for _ in 0..ROUNDS {
            if task.state == TaskState::Input {
                // Its server gave it a state only, and asks for nothing.
                let Some(Outcome::Input { result, .. }) = self.outcome(&task) else { break };
                if !required(&result)?.requests.is_empty() {
                    break;
                }
                match self.go_on(task.clone(), stored, &Object::new()).await? {
                    Some(changed) => return Ok(changed),
                    None => task = self.read(&task.id).await?,
                }
                continue;
            }
            if task.state == TaskState::Running && task.lease <= now() {
                self.store.give_back_unsent(now()).await.map_err(unavailable)?;
            } else if task.state != TaskState::Waiting {
                break;
            }
            let approval = self.store.approval(&task.approval).await.map_err(unavailable)?;
            let next = next(&task, approval.as_ref(), self.gateway.explains(), now());
            let changed = match next {
                Next::Stays => break,
                Next::Runs => {
                    let call = self.call(&task, stored, None)?;
                    self.start(task.clone(), call, 0).await?
                }
                Next::Waits => {
                    let waits =
                        ApprovalTask { state: TaskState::Waiting, lease: 0, ..task.clone() };
                    self.change(waits).await?
                }
                Next::Fails(why) => {
                    let call = self.sent.id.to_string();
                    let error = RpcError::gateway(Kind::Denied, &why, "", false, &call);
                    let error = String::from_utf8_lossy(&error.to_bytes()).into_owned();
                    let outcome = self.seal(&task.id, &Outcome::Error(error));
                    let failed = ApprovalTask { state: TaskState::Failed, outcome, ..task.clone() };
                    self.change(failed).await?
                }
            };
            task = match changed {
                Some(changed) => changed,
                None => self.read(&task.id).await?,
            };
        }
        Ok(task)
    }

    async fn change(&self, to: ApprovalTask) -> Result<Option<ApprovalTask>, CallError> {
        self.store.change_approval_task(to, now()).await.map_err(unavailable)
    }

    fn outcome(&self, task: &ApprovalTask) -> Option<Outcome> {
        let purpose = purpose(&task.id);
        self.gateway.shared.sealer.open(&task.outcome, self.principal(), &purpose).ok()
    }

    fn seal(&self, id: &str, outcome: &Outcome) -> String {
        self.gateway.shared.sealer.seal(outcome, self.principal(), &purpose(id), None)
    }

    /// The call that has become a task, made by whoever asks for it now.
    fn call(
        &self,
        task: &ApprovalTask,
        stored: &Stored,
        retry: Option<Retry>,
    ) -> Result<Box<Call>, CallError> {
        let asks = Asks {
            caller: self.sent.caller.clone(),
            protocol: self.sent.protocol,
            portal: self.sent.portal.clone(),
            revision: Revision::NEWEST,
            client: Arc::new(stored.client(&self.sent.client).ok_or_else(unknown)?),
            session: None,
            conversation: stored.conversation.clone(),
            retry: retry.or_else(|| stored.retry()),
            param_headers: None,
            discovery: None,
        };
        let params = stored.params().ok_or_else(unknown)?;
        let mut call = self.gateway.call(asks, method::TOOLS_CALL, params);
        call.notes.runs = Some(task.approval.as_str().into());
        Ok(call)
    }

    /// Runs the call of a task, unless another has changed it.
    async fn start(
        &self,
        task: ApprovalTask,
        call: Box<Call>,
        round: u32,
    ) -> Result<Option<ApprovalTask>, CallError> {
        let lease = now() + running::LEASE;
        let claimed = ApprovalTask { state: TaskState::Running, lease, ..task };
        let Some(task) = self.change(claimed).await? else { return Ok(None) };
        let runner = Runner {
            gateway: self.gateway.clone(),
            store: self.store.clone(),
            principal: self.principal().to_owned(),
            task: task.clone(),
            round,
        };
        self.gateway.shared.tasks.spawn(runner.run(call));
        Ok(Some(task))
    }

    /// Takes answers to a server's requests for input; once all are there, the call goes on.
    async fn go_on(
        &self,
        task: ApprovalTask,
        stored: &Stored,
        answers: &Object,
    ) -> Result<Option<ApprovalTask>, CallError> {
        let Some(Outcome::Input { result, answered, round }) = self.outcome(&task) else {
            return Err(unknown());
        };
        let required = required(&result)?;
        let mut responses = Object::parse(&answered.into()).unwrap_or_default();
        for request in &required.requests {
            if let Some(answer) = answers.object(&stored::shown(&request.key, round)) {
                responses.set(&request.key, answer.into_owned());
            }
        }
        if required.requests.iter().any(|request| !responses.contains(&request.key)) {
            let answered = String::from_utf8_lossy(&responses.to_bytes()).into_owned();
            let outcome = self.seal(&task.id, &Outcome::Input { result, answered, round });
            if outcome.len() > MOST_OUTCOME {
                return Err(RpcError::invalid_params("The input is too long").into());
            }
            return self.change(ApprovalTask { outcome, ..task }).await;
        }
        let retry = Retry { responses, state: required.state };
        let call = self.call(&task, stored, Some(retry))?;
        self.start(task, call, round + 1).await
    }

    /// Cancels a task: nobody needs to decide about its call any more. One that runs is stopped where it is.
    async fn cancel(&self, mut task: ApprovalTask) -> Result<Object, CallError> {
        for _ in 0..ROUNDS {
            if task.state.is_over() {
                break;
            }
            // Its approval first: if this gateway ends in between, nothing can run that was cancelled.
            if let Some(approval) =
                self.store.approval(&task.approval).await.map_err(unavailable)?
            {
                let why = "its caller has cancelled the call";
                self.store.withdraw_approval(&approval, why).await.map_err(unavailable)?;
                self.gateway.approvals.tell(&approval.id);
            }
            let cancelled = ApprovalTask { state: TaskState::Cancelled, lease: 0, ..task.clone() };
            if self.change(cancelled).await?.is_some() {
                self.gateway.approvals.tell(&task.id);
                break;
            }
            task = self.read(&task.id).await?;
        }
        Ok(acknowledged())
    }

    /// Asks the server about the task that it has made of the call.
    async fn pass_on(&self, task: &ApprovalTask, stored: &Stored) -> Result<Object, CallError> {
        let Some(Outcome::Passed(inner)) = self.outcome(task) else { return Err(unknown()) };
        let mut params = self.sent.params.clone();
        let name = params.string("taskId").unwrap_or_default().into_owned();
        params.set("taskId", inner.as_str());
        let asks = Asks {
            caller: self.sent.caller.clone(),
            protocol: self.sent.protocol,
            portal: self.sent.portal.clone(),
            revision: Revision::NEWEST,
            client: self.sent.client.clone(),
            session: None,
            conversation: stored.conversation.clone(),
            retry: None,
            param_headers: None,
            discovery: None,
        };
        let call = self.gateway.call(asks, &self.sent.method, params);
        match pipeline::run(self.gateway.clone(), call, Events::ignored()).await {
            Ok(Reply::Result(mut result)) => {
                if result.contains("taskId") {
                    result.set("taskId", name.as_str());
                }
                Ok(result)
            }
            Ok(_) => Err(unknown()),
            Err(Refusal { error, .. }) => Err(error.into()),
        }
    }

    /// A task, as its client sees it.
    fn object(
        &self,
        task: &ApprovalTask,
        name: &str,
        approval: Option<&Approval>,
    ) -> Result<Object, CallError> {
        let message = approval.map(|approval| {
            let until = Timestamp::from_second(approval.expires).unwrap_or_default();
            let who = match self.gateway.explains() {
                Explain::Nothing => String::new(),
                Explain::Reason | Explain::Full => {
                    format!(" by {} ({})", approval.approvers(), approval.reason())
                }
            };
            let link = url(&self.gateway, &approval.id);
            format!("It waits for approval{who} at {link} until {until}")
        });
        stored::object(task, name, message.as_deref(), self.outcome(task).as_ref())
            .map_err(|why| Failure::new(Kind::InvalidMessage, why).into())
    }
}

fn required(result: &str) -> Result<InputRequired, CallError> {
    let result = Object::parse(&result.to_owned().into()).unwrap_or_default();
    InputRequired::read(&result).map_err(|why| Failure::new(Kind::InvalidMessage, why).into())
}

fn acknowledged() -> Object {
    let mut result = Object::new();
    result.set("resultType", "complete");
    result
}

/// What a task contains is sealed for this.
fn purpose(id: &str) -> String {
    format!("held-task:{id}")
}

fn unknown() -> CallError {
    RpcError::invalid_params("Unknown task").into()
}

fn unavailable(error: doorward_store::Error) -> CallError {
    let why = "The database of tasks that wait for approval is unavailable";
    let failure = Failure { retryable: true, ..Failure::new(Kind::Denied, why) }.because(error);
    CallError::Refused { failure, status: 503 }
}
