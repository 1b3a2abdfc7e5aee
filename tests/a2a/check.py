"""Run by run.py with the SDK installed. The same story in each revision and binding, unary and streaming, with the SDK's own
choice of transport from the card."""

import asyncio
import sys
import uuid
from pathlib import Path

import httpx
from a2a.client import A2ACardResolver, ClientConfig, ClientFactory
from a2a.types import a2a_pb2 as a2a
from a2a.utils.errors import TaskNotCancelableError, TaskNotFoundError, UnsupportedOperationError
from google.protobuf.json_format import MessageToDict, ParseDict

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]
from gateway import Gateway  # noqa: E402
from peers import running  # noqa: E402

COMPLETED, CANCELED = a2a.TASK_STATE_COMPLETED, a2a.TASK_STATE_CANCELED
REJECTED, INPUT = a2a.TASK_STATE_REJECTED, a2a.TASK_STATE_INPUT_REQUIRED
CONFIG = """
policy: {files: [open.cedar]}
servers: {sample: {sample: true}}
portals: {one: {tools: [sample/echo]}}
"""
SUM = [{"data": {"sum": 3.5}}, {"text": "3.5"}]
OPEN = 'permit (principal, action in Action::"use", resource);'


def data(tool, **arguments):
    return {"data": {"tool": tool, "arguments": arguments}}


def request(part, task=None, at_once=False):
    message = {"messageId": str(uuid.uuid4()), "role": "ROLE_USER", "parts": [part]}
    if task is not None:
        message["taskId"] = task.id
    asked = {"message": message, "configuration": {"returnImmediately": at_once}}
    if at_once:
        # 0.3 over HTTP+JSON leaves `"blocking": false` out; of an empty configuration nobody can tell that it was there.
        asked["configuration"]["acceptedOutputModes"] = ["text/plain"]
    return ParseDict(asked, a2a.SendMessageRequest())


def contents(parts):
    """What parts contain, as JSON."""
    return [MessageToDict(part) for part in parts]


async def sent(client, *what, **how):
    """What a message leads to: the task as its events make it, and the events."""
    task, events = None, []
    async for event in client.send_message(request(*what, **how)):
        events.append(event)
        if event.HasField("task"):
            task = event.task
        elif event.HasField("artifact_update"):
            task.artifacts.append(event.artifact_update.artifact)
        elif event.HasField("status_update"):
            task.status.CopyFrom(event.status_update.status)
    return task, events


async def refused(error, asked):
    try:
        await asked
    except error:
        return
    raise AssertionError(f"{error.__name__} was expected")


async def story(client, streams, lists):
    task, _ = await sent(client, data("sample/add", a=1, b=2.5))
    assert task.status.state == COMPLETED, task
    assert contents(task.artifacts[0].parts) == SUM, task
    got = await client.get_task(a2a.GetTaskRequest(id=task.id))
    assert (got.id, got.status.state) == (task.id, COMPLETED), got
    assert contents(got.artifacts[0].parts) == SUM, got

    task, events = await sent(client, data("sample/slow", steps=3, pause_ms=50))
    assert task.status.state == COMPLETED, MessageToDict(task)
    assert contents(task.artifacts[0].parts) == [{"text": "done in 3 steps"}], task
    told = [contents(e.status_update.status.message.parts) for e in events if e.HasField("status_update")]
    assert ([{"text": "step 1 of 3"}] in told) == streams, told

    hidden, _ = await sent(client, data("sample/none"))
    assert hidden.status.state == REJECTED, hidden
    assert contents(hidden.status.message.parts) == [{"text": "Unknown tool: sample/none"}]

    asked, _ = await sent(client, data("sample/introduce"))
    assert asked.status.state == INPUT, asked
    task, _ = await sent(client, {"text": "Ann"}, task=asked)
    assert (task.id, task.status.state) == (asked.id, COMPLETED), task
    assert contents(task.artifacts[0].parts) == [{"text": "Hello, Ann!"}], task

    choice, _ = await sent(client, {"text": "add two numbers"})
    tools = MessageToDict(choice.status.message.parts[1])["data"]["tools"]
    assert choice.status.state == INPUT and tools[0]["tool"] == "sample/add", choice

    works, _ = await first(client, data("sample/slow", steps=100, pause_ms=100))
    if streams:
        async for event in client.subscribe(a2a.SubscribeToTaskRequest(id=works.id)):
            assert event.task.id == works.id, event
            break
    ended = await client.cancel_task(a2a.CancelTaskRequest(id=works.id))
    assert ended.status.state == CANCELED, ended
    await refused(TaskNotCancelableError, client.cancel_task(a2a.CancelTaskRequest(id=works.id)))
    await refused(TaskNotFoundError, client.get_task(a2a.GetTaskRequest(id="none")))
    await refused(UnsupportedOperationError, sent(client, {"text": "x"}, task=works))

    if lists:
        page = await client.list_tasks(a2a.ListTasksRequest(page_size=2))
        assert len(page.tasks) == 2 and page.next_page_token and page.total_size >= 5, page
    card = await client.get_extended_agent_card(a2a.GetExtendedAgentCardRequest())
    assert "sample/add" in [skill.id for skill in card.skills], card


async def first(client, part):
    """A task that is worked on: with the first that is said of it, nothing more is read."""
    async for event in client.send_message(request(part, at_once=True)):
        return event.task, event


async def main(binary):
    with running() as (folder, processes):
        (folder / "open.cedar").write_text(OPEN)
        gateway = Gateway(binary, processes, folder, "gateway", CONFIG)
        key = gateway.key("--user", "ann")
        origin = f"http://127.0.0.1:{gateway.port}"
        headers = {"authorization": f"Bearer {key}"}
        async with httpx.AsyncClient() as anybody:
            card = await A2ACardResolver(anybody, origin).get_agent_card()
            below = await A2ACardResolver(anybody, f"{origin}/api/a2a").get_agent_card()
        assert card == below and len(card.supported_interfaces) == 4, card
        for version in ("1.0", "0.3"):
            for binding in ("JSONRPC", "HTTP+JSON"):
                for streams in (False, True):
                    only = a2a.AgentCard()
                    only.CopyFrom(card)
                    del only.supported_interfaces[:]
                    only.supported_interfaces.extend(
                        it for it in card.supported_interfaces if it.protocol_version.startswith(version)
                    )
                    assert only.supported_interfaces, card
                    async with httpx.AsyncClient(headers=headers, timeout=20) as http:
                        config = ClientConfig(
                            streaming=streams, httpx_client=http, supported_protocol_bindings=[binding]
                        )
                        client = ClientFactory(config).create(only)
                        await story(client, streams, lists=version == "1.0")
                    print(f"{version} {binding} {'streaming' if streams else 'unary'}: good", flush=True)
        async with httpx.AsyncClient(headers=headers) as http:
            factory = ClientFactory(ClientConfig(streaming=False, httpx_client=http))
            portal = await factory.create_from_url(f"{origin}/api/a2a/portals/one")
            task, _ = await sent(portal, {"text": "hello"})
            assert contents(task.artifacts[0].parts) == [{"text": "hello"}], task
        print("a portal: good", flush=True)


asyncio.run(main(sys.argv[1]))
