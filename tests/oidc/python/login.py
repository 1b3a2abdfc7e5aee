"""A client that knows only a URL and logs in by itself: `python login.py 1|2 URL`. The SDK does everything except the
browser. Prints what it learnt as JSON."""

import asyncio
import json
import os
import sys
import urllib.parse

from browser import visit
from mcp.client.auth import OAuthClientProvider
from mcp.shared.auth import OAuthClientMetadata

major, target = sys.argv[1:]
REDIRECT = "http://127.0.0.1:7399/callback"
told, landed = {"redirects": []}, {}


class Kept:
    tokens = client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client):
        self.client = client


async def go(url):
    told["redirects"].append(dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query)))
    arrived = await asyncio.to_thread(visit, url, REDIRECT)
    landed.update(urllib.parse.parse_qsl(urllib.parse.urlsplit(arrived).query))


async def come_back():
    if major == "1":
        return landed["code"], landed.get("state")
    from mcp.shared.auth import AuthorizationCodeResult

    return AuthorizationCodeResult(code=landed["code"], state=landed.get("state"), iss=landed.get("iss"))


async def main():
    metadata = OAuthClientMetadata(
        client_name="tester", redirect_uris=[REDIRECT], token_endpoint_auth_method="none",
        grant_types=["authorization_code", "refresh_token"], response_types=["code"],
    )
    kept = Kept()
    document = os.environ.get("CLIENT_DOCUMENT")
    auth = OAuthClientProvider(target, metadata, kept, go, come_back, client_metadata_url=document)
    if major == "1":
        from mcp import ClientSession
        from mcp.client.streamable_http import streamablehttp_client

        async with streamablehttp_client(target, auth=auth) as (read, write, _), ClientSession(read, write) as client:
            await client.initialize()
            await use(client)
    else:
        from mcp import Client
        from mcp.client.streamable_http import streamable_http_client
        from mcp.shared._httpx_utils import create_mcp_http_client

        async with create_mcp_http_client(auth=auth) as http:
            async with Client(streamable_http_client(target, http_client=http)) as client:
                await use(client)
    told["scope"] = kept.tokens.scope
    print(json.dumps(told))


async def use(client):
    told["tools"] = [tool.name for tool in (await client.list_tools()).tools]
    result = await client.call_tool("sample__add", {"a": 20, "b": 3})
    told["sum"] = result.content[0].text


asyncio.run(main())
