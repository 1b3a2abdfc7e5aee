"""A server on mcp 1.x whose tools have names that model APIs reject: `python server.py`, over stdio."""

import anyio
from mcp.server.lowlevel import Server
from mcp.server.stdio import stdio_server
from mcp.types import TextContent, Tool
from names import NAMES

server = Server("awkward")


@server.list_tools()
async def list_tools():
    schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
    return [Tool(name=name, description=f"Says what it was told: {name}.", inputSchema=schema) for name in NAMES]


@server.call_tool(validate_input=False)
async def call_tool(name, arguments):
    return [TextContent(type="text", text=f"{name} heard {arguments['text']}")]


async def main():
    async with stdio_server() as (reading, writing):
        await server.run(reading, writing, server.create_initialization_options())


anyio.run(main)
