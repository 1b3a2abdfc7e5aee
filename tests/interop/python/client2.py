"""A client on mcp 2.x: `python client2.py legacy|modern http|sse URL` or `… stdio COMMAND ARGS…`."""

import asyncio
import os
import sys
import warnings

import mcp_types as types
from features import Inbox, try_all
from mcp import Client, StdioServerParameters
from mcp.client.sse import sse_client

warnings.simplefilter("ignore")
inbox = Inbox()


async def elicit(context, params):
    return types.ElicitResult(action="accept", content={"name": "Tester"})


async def sample(context, params):
    content = types.TextContent(type="text", text="pong")
    return types.CreateMessageResult(role="assistant", content=content, model="test")


async def roots(context):
    return types.ListRootsResult(roots=[types.Root(uri="file:///project")])


async def logged(params):
    inbox.tell("log", params.data)


async def told(message):
    name = type(message).__name__
    if name == "ResourceUpdatedNotification":
        inbox.tell("update", str(message.params.uri).rstrip("/"))
    elif name == "ToolListChangedNotification":
        inbox.tell("tools")


class Ops:
    def __init__(self, client, modern):
        self.client = client
        self.modern = modern
        self.inbox = inbox
        self.listening = set()

    async def tools(self):
        return [tool.name for tool in (await self.client.list_tools(cache_mode="bypass")).tools]

    async def call(self, name, arguments, progress=None):
        return await self.client.call_tool(name, arguments, progress_callback=progress)

    async def give_up(self, name):
        call = asyncio.create_task(self.call(name, {}))
        await asyncio.sleep(0.2)
        call.cancel()

    def structured(self, result):
        return result.structured_content

    def failed(self, result):
        return result.is_error

    async def read(self, uri):
        return (await self.client.read_resource(uri)).contents

    async def templates(self):
        found = await self.client.list_resource_templates()
        return [one.uri_template for one in found.resource_templates]

    async def listen(self, **wanted):
        ready = asyncio.Event()

        async def follow():
            async with self.client.listen(**wanted) as subscription:
                ready.set()
                async for event in subscription:
                    kind = type(event).__name__
                    if kind == "ResourceUpdated":
                        inbox.tell("update", event.uri)
                    elif kind == "ToolsListChanged":
                        inbox.tell("tools")

        task = asyncio.create_task(follow())
        self.listening.add(task)
        await asyncio.wait_for(ready.wait(), 10)

    async def subscribe(self, uri):
        if self.modern:
            await self.listen(resource_subscriptions=[uri])
        else:
            await self.client.subscribe_resource(uri)

    async def watch(self):
        if self.modern:
            await self.listen(tools_list_changed=True)

    async def prompt(self, name, arguments):
        return (await self.client.get_prompt(name, arguments)).messages

    async def complete(self, prompt, argument, value):
        ref = types.PromptReference(type="ref/prompt", name=prompt)
        return (await self.client.complete(ref, {"name": argument, "value": value})).completion.values


async def main(era, kind, target, *args):
    if kind == "http":
        server = target
    elif kind == "sse":
        server = sse_client(target)
    else:
        server = StdioServerParameters(command=target, args=[*args])
    modern = era == "modern"
    client = Client(
        server,
        mode="2026-07-28" if modern else "legacy",
        elicitation_callback=elicit,
        sampling_callback=sample,
        list_roots_callback=roots,
        logging_callback=logged,
        message_handler=told,
        log_level="debug" if modern else None,
    )
    async with client:
        if not modern:
            await client.set_logging_level("debug")
        await try_all(Ops(client, modern))
        os._exit(0)


asyncio.run(main(*sys.argv[1:]))
