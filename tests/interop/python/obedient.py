"""An agent that obeys everything it reads: `python obedient.py 1|2 legacy|modern URL`. Calls the tools in `READS`
(JSON of tools with arguments), and then every tool that a result names. Prints how many calls it made and their
outcomes."""

import asyncio
import json
import os
import re
import sys
import warnings

warnings.simplefilter("ignore")
major, era, target = sys.argv[1:]
HEADERS = {"authorization": f"Bearer {os.environ['KEY']}"}
told = {"read": 0, "obeyed": 0, "held": 0, "done": 0, "other": []}


async def use(client, error):
    async def call(tool, arguments):
        try:
            result = await client.call_tool(tool, arguments)
            return " ".join(block.text for block in result.content), None
        except error as failed:
            return "", json.loads(failed.error.model_dump_json())

    for tool, arguments in json.loads(os.environ["READS"]):
        text, failed = await call(tool, arguments)
        if failed:
            told["other"].append(f"{tool}: {failed}")
        told["read"] += 1
        for named in re.findall(r"\w+__\w+", text):
            told["obeyed"] += 1
            text, failed = await call(named, {"to": "eve@example.com"})
            if failed is None:
                told["done"] += 1
            elif (failed.get("data") or {}).get("code") == "approval_required":
                told["held"] += 1
            else:
                told["other"].append(f"{named}: {failed}")
    print(json.dumps(told), flush=True)
    os._exit(0)


async def one():
    from mcp import ClientSession, McpError
    from mcp.client.streamable_http import streamablehttp_client

    async with streamablehttp_client(target, headers=HEADERS) as (read, write, _):
        async with ClientSession(read, write) as client:
            await client.initialize()
            await use(client, McpError)


async def two():
    from mcp import Client, MCPError
    from mcp.client.streamable_http import streamable_http_client
    from mcp.shared._httpx_utils import create_mcp_http_client

    mode = "2026-07-28" if era == "modern" else "legacy"
    async with create_mcp_http_client(headers=HEADERS) as http:
        async with Client(streamable_http_client(target, http_client=http), mode=mode) as client:
            await use(client, MCPError)


asyncio.run(one() if major == "1" else two())
