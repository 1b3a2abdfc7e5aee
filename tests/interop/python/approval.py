"""A client that calls a tool that waits for approval: `python approval.py 1|2 legacy|modern URL`. Sends the link to
the person at `PERSON`, as a client would open it in a browser. Prints the result as JSON."""

import asyncio
import json
import os
import sys
import urllib.parse
import urllib.request
import warnings

warnings.simplefilter("ignore")
major, era, target = sys.argv[1:]
told = {"opened": [], "calls": 0}
HEADERS = {"authorization": f"Bearer {os.environ['KEY']}"}


async def open_link(url, waits):
    """Sends the link to the person, who decides before responding if the client waits for them, or a moment later."""
    told["opened"].append(url)
    query = urllib.parse.urlencode({"url": url, "waits": waits})
    await asyncio.to_thread(urllib.request.urlopen, f"{os.environ['PERSON']}/?{query}")


async def use(client, types, error):
    async def call():
        told["calls"] += 1
        return await client.call_tool("add", {"a": 20, "b": 3})

    try:
        result = await call()
    except error as failed:
        from mcp.shared.exceptions import UrlElicitationRequiredError

        required = UrlElicitationRequiredError.from_error(failed.error)
        for elicitation in required.elicitations:
            await open_link(elicitation.url, "yes")
        result = await call()
    told["sum"] = result.content[0].text
    print(json.dumps(told), flush=True)
    os._exit(0)


async def one():
    from mcp import ClientSession, McpError, types
    from mcp.client.streamable_http import streamablehttp_client

    async def elicit(context, params):
        await open_link(params.url, "")
        return types.ElicitResult(action="accept")

    async with streamablehttp_client(target, headers=HEADERS) as (read, write, _):
        async with ClientSession(read, write, elicitation_callback=elicit) as client:
            await client.initialize()
            await use(client, types, McpError)


async def two():
    import mcp_types as types
    from mcp import Client, MCPError
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    async def elicit(context, params):
        await open_link(params.url, "")
        return types.ElicitResult(action="accept")

    mode = "2026-07-28" if era == "modern" else "legacy"
    async with create_mcp_http_client(headers=HEADERS) as http:
        server = streamable_http_client(target, http_client=http)
        async with Client(server, mode=mode, elicitation_callback=elicit) as client:
            await use(client, types, MCPError)


asyncio.run(one() if major == "1" else two())
