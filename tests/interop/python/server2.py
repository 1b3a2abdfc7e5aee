"""A server on mcp 2.x: `python server2.py http|sse|stdio [PORT]`."""

import sys
import uuid
from typing import Annotated

import anyio
from mcp.server.mcpserver import Context, Elicit, ListRoots, MCPServer, Resolve, Sample
from mcp_types import (
    AudioContent,
    CallToolResult,
    Completion,
    CreateMessageResult,
    EmptyResult,
    ImageContent,
    ListRootsResult,
    SamplingMessage,
    SubscribeRequestParams,
    TextContent,
    UnsubscribeRequestParams,
)
from pydantic import BaseModel

IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
AUDIO = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
NAMES = ["Ada", "Alan", "Barbara", "Grace"]
cancelled = 0

transport = sys.argv[1]
port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
server = MCPServer("py2")


class Pair(BaseModel):
    number: int
    word: str


class Name(BaseModel):
    name: str


@server.tool()
def echo(text: str) -> str:
    return text


@server.tool()
def structured() -> Pair:
    return Pair(number=7, word="seven")


@server.tool()
def image() -> list[ImageContent]:
    return [ImageContent(type="image", data=IMAGE, mime_type="image/png")]


@server.tool()
def audio() -> list[AudioContent]:
    return [AudioContent(type="audio", data=AUDIO, mime_type="audio/wav")]


@server.tool()
def fail() -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text="it failed")], is_error=True)


@server.tool()
async def progress(ctx: Context) -> str:
    for step in (1, 2, 3):
        await ctx.report_progress(step, 3)
        await anyio.sleep(0.05)
    return "done"


@server.tool()
async def log(ctx: Context) -> str:
    await ctx.log("info", "a log line")
    return "logged"


@server.tool()
async def slow() -> str:
    global cancelled
    try:
        await anyio.sleep(30)
    except anyio.get_cancelled_exc_class():
        cancelled += 1
        raise
    return "not cancelled"


@server.tool(name="cancelled")
def count_cancelled() -> str:
    return str(cancelled)


def ask_name():
    return Elicit("Your name?", Name)


def ask_model():
    return Sample([SamplingMessage(role="user", content=TextContent(type="text", text="ping"))], max_tokens=10)


def ask_roots():
    return ListRoots()


@server.tool()
async def elicit(answer: Annotated[Name, Resolve(ask_name)]) -> str:
    return f"hello {answer.name}"


@server.tool()
async def sample(answer: Annotated[CreateMessageResult, Resolve(ask_model)]) -> str:
    return f"said {answer.content.text}"


@server.tool()
async def roots(answer: Annotated[ListRootsResult, Resolve(ask_roots)]) -> str:
    return " ".join(str(root.uri).rstrip("/") for root in answer.roots)


@server.tool()
async def touch(ctx: Context) -> str:
    await ctx.notify_resource_updated("test://watched")
    if ctx.protocol_version != "2026-07-28":
        await ctx.session.send_resource_updated("test://watched")
    return "touched"


@server.tool()
async def grow(ctx: Context) -> str:
    server.add_tool(lambda: "grown", name=f"grown-{uuid.uuid4()}", description="grown")
    await ctx.notify_tools_changed()
    if ctx.protocol_version != "2026-07-28":
        await ctx.session.send_tool_list_changed()
    return "grew"


@server.resource("test://static", mime_type="text/plain")
def static() -> str:
    return "content of static"


@server.resource("test://watched", mime_type="text/plain")
def watched() -> str:
    return "content of watched"


@server.resource("test://item/{id}", mime_type="text/plain")
def item(id: str) -> str:
    return f"item {id}"


@server.prompt()
def greet(name: str) -> str:
    return f"Greet {name}"


@server.completion()
async def complete(ref, argument, context):
    return Completion(values=[name for name in NAMES if name.startswith(argument.value)])


low = server._lowlevel_server


async def accepted(context, params):
    return EmptyResult()


low.add_request_handler("resources/subscribe", SubscribeRequestParams, accepted)
low.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, accepted)

# In the handshake era the SDK does not announce changes by itself.
options = low.create_initialization_options


def with_changes(*args, **kwargs):
    from mcp.server.lowlevel import NotificationOptions

    changes = NotificationOptions(tools_changed=True, resources_changed=True, prompts_changed=True)
    return options(changes, *args[1:], **{key: value for key, value in kwargs.items() if key != "notification_options"})


low.create_initialization_options = with_changes

if transport == "stdio":
    server.run()
else:
    server.run({"http": "streamable-http"}.get(transport, transport), host="127.0.0.1", port=port)
