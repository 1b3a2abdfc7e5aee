"""A client on mcp 1.x: `python client1.py http|sse URL` or `… stdio COMMAND ARGS…`."""

import asyncio
import os
import sys
from contextlib import AsyncExitStack

from features import Inbox, try_all
from mcp import ClientSession, StdioServerParameters, types
from mcp.client.sse import sse_client
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamablehttp_client
from pydantic import AnyUrl

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
    if isinstance(message, types.ServerNotification):
        match message.root:
            case types.ResourceUpdatedNotification(params=params):
                inbox.tell("update", str(params.uri).rstrip("/"))
            case types.ToolListChangedNotification():
                inbox.tell("tools")


class Ops:
    def __init__(self, session):
        self.session = session
        self.inbox = inbox

    async def tools(self):
        return [tool.name for tool in (await self.session.list_tools()).tools]

    async def call(self, name, arguments, progress=None):
        return await self.session.call_tool(name, arguments, progress_callback=progress)

    async def give_up(self, name):
        # The SDK does not send a cancellation when a task is cancelled, so send it by hand.
        request_id = self.session._request_id
        call = asyncio.create_task(self.call(name, {}))
        await asyncio.sleep(0.2)
        notification = types.CancelledNotification(
            params=types.CancelledNotificationParams(requestId=request_id, reason="no more")
        )
        await self.session.send_notification(types.ClientNotification(notification))
        call.cancel()

    def structured(self, result):
        return result.structuredContent

    def failed(self, result):
        return result.isError

    async def read(self, uri):
        return (await self.session.read_resource(AnyUrl(uri))).contents

    async def templates(self):
        found = await self.session.list_resource_templates()
        return [one.uriTemplate for one in found.resourceTemplates]

    async def subscribe(self, uri):
        await self.session.subscribe_resource(AnyUrl(uri))

    async def watch(self):
        pass

    async def prompt(self, name, arguments):
        return (await self.session.get_prompt(name, arguments)).messages

    async def complete(self, prompt, argument, value):
        ref = types.PromptReference(type="ref/prompt", name=prompt)
        return (await self.session.complete(ref, {"name": argument, "value": value})).completion.values


async def main(kind, target, *args):
    async with AsyncExitStack() as stack:
        if kind == "http":
            read, write, _ = await stack.enter_async_context(streamablehttp_client(target))
        elif kind == "sse":
            read, write = await stack.enter_async_context(sse_client(target))
        else:
            parameters = StdioServerParameters(command=target, args=[*args])
            read, write = await stack.enter_async_context(stdio_client(parameters))
        session = ClientSession(
            read,
            write,
            elicitation_callback=elicit,
            sampling_callback=sample,
            list_roots_callback=roots,
            logging_callback=logged,
            message_handler=told,
        )
        await stack.enter_async_context(session)
        await session.initialize()
        await session.set_logging_level("debug")
        await try_all(Ops(session))
        # Exit without waiting for the abandoned call.
        os._exit(0)


asyncio.run(main(*sys.argv[1:]))
