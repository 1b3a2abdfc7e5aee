"""A server on mcp 1.x: `python server1.py http|sse|stdio [PORT]`."""

import sys
import uuid

import anyio
from mcp.server.fastmcp import Context, FastMCP
from mcp.server.fastmcp.utilities.types import Audio, Image  # noqa: F401  (Audio: from 1.10 on)
from mcp.types import (
    AudioContent,
    CallToolResult,
    Completion,
    ImageContent,
    SamplingMessage,
    TextContent,
)
from pydantic import AnyUrl, BaseModel

IMAGE = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg=="
AUDIO = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
NAMES = ["Ada", "Alan", "Barbara", "Grace"]
cancelled = 0

transport = sys.argv[1]
port = int(sys.argv[2]) if len(sys.argv) > 2 else 0
server = FastMCP("py1", host="127.0.0.1", port=port)


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
    return [ImageContent(type="image", data=IMAGE, mimeType="image/png")]


@server.tool()
def audio() -> list[AudioContent]:
    return [AudioContent(type="audio", data=AUDIO, mimeType="audio/wav")]


@server.tool()
def fail() -> CallToolResult:
    return CallToolResult(content=[TextContent(type="text", text="it failed")], isError=True)


@server.tool()
async def progress(ctx: Context) -> str:
    for step in (1, 2, 3):
        await ctx.report_progress(step, 3)
        await anyio.sleep(0.05)
    return "done"


@server.tool()
async def log(ctx: Context) -> str:
    await ctx.info("a log line")
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


@server.tool()
async def elicit(ctx: Context) -> str:
    answer = await ctx.elicit("Your name?", Name)
    return f"hello {answer.data.name}"


@server.tool()
async def sample(ctx: Context) -> str:
    asked = [SamplingMessage(role="user", content=TextContent(type="text", text="ping"))]
    answer = await ctx.session.create_message(asked, max_tokens=10, related_request_id=ctx.request_id)
    return f"said {answer.content.text}"


@server.tool()
async def roots(ctx: Context) -> str:
    answer = await ctx.session.list_roots()
    return " ".join(str(root.uri).rstrip("/") for root in answer.roots)


@server.tool()
async def touch(ctx: Context) -> str:
    await ctx.session.send_resource_updated(AnyUrl("test://watched"))
    return "touched"


@server.tool()
async def grow(ctx: Context) -> str:
    server.add_tool(lambda: "grown", name=f"grown-{uuid.uuid4()}", description="grown")
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


low = server._mcp_server


@low.subscribe_resource()
async def subscribe(uri):
    pass


@low.unsubscribe_resource()
async def unsubscribe(uri):
    pass


@low.set_logging_level()
async def set_level(level):
    pass


# The SDK does not announce these by itself.
options = low.create_initialization_options


def with_changes(notification_options=None, experimental_capabilities=None):
    from mcp.server.lowlevel import NotificationOptions

    made = options(NotificationOptions(tools_changed=True, resources_changed=True), experimental_capabilities or {})
    made.capabilities.resources.subscribe = True
    return made


low.create_initialization_options = with_changes
server.run(transport={"http": "streamable-http"}.get(transport, transport))
