#!/usr/bin/env python3
"""Counts what tools cost a model: the tokens (o200k) of the lists that clients get, in full, shortened, and with search.

Definitions are those of the sample server, of tests/search/own.tools.jsonl repeated up to a thousand tools, and of files of the
same form (--material). Needs Node and Python; installs everything else."""

import argparse
import http.server
import json
import re
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]
from gateway import Gateway  # noqa: E402
from peers import PEERS, Missing, copy_new, gateway_binary, need, one_at_a_time, run, running, until, up_to_date  # noqa: E402

# A client with search must get less than this, however many tools there are.
MOST = 1_000


class Definitions(http.server.BaseHTTPRequestHandler):
    """A server of 2026-07-28 that has given definitions: no real one has a thousand tools that anybody may list."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if asked["method"] == "server/discover":
            result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
        else:
            result = {"tools": self.server.tools}
        result |= {"resultType": "complete", "ttlMs": 600_000, "cacheScope": "public"}
        body = json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), "result": result}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@one_at_a_time
def install():
    npm = need("npm", "the tokenizer comes from the npm registry")
    folder = PEERS / "tokens"
    folder.mkdir(parents=True, exist_ok=True)
    fresh, remember = up_to_date(folder, HERE / "package.json", HERE / "package-lock.json")
    for name in ("package.json", "package-lock.json", "count.mjs"):
        copy_new(HERE / name, folder)
    if not fresh:
        run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
        remember()
    return folder / "count.mjs"


def read(file):
    """The tools of a file, by server."""
    servers = {}
    for line in file.read_text().splitlines():
        tool = json.loads(line)
        definition = {"name": tool["name"], "description": tool["description"], "inputSchema": json.loads(tool["schema"])}
        name = "s" + re.sub(r"[^A-Za-z0-9]+", "-", tool["server"]).strip("-")[:60]
        servers.setdefault(name, []).append(definition)
    return servers


def repeated(servers, least):
    """The same tools under other names of servers, until there are enough."""
    made, count, copy = {}, 0, 0
    while count < least:
        for name, tools in servers.items():
            made[f"{name}{copy or ''}"] = tools
            count += len(tools)
        copy += 1
    return made


def serve(tools):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Definitions)
    server.tools = tools
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/mcp"


def listed(gateway, path):
    tools, cursor = [], None
    while True:
        result = gateway.ask("tools/list", {"cursor": cursor} if cursor else {}, path)["result"]
        tools += result["tools"]
        cursor = result.get("nextCursor")
        if not cursor:
            return tools


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", help="the binary; built when absent")
    parser.add_argument("--material", type=Path, nargs="*", default=[], help="files with a tool a line")
    options = parser.parse_args()
    count, binary = install(), gateway_binary(options.gateway)
    own = read(HERE.parent / "search/own.tools.jsonl")
    sets = {"sample server": None, "own definitions": own, "own definitions, a thousand": repeated(own, 1_000)}
    sets |= {file.stem: read(file) for file in options.material}
    print(f"{'definitions':<30} {'tools':>6} {'full':>9} {'compact':>9} {'search':>7} {'a search':>9} {'in full':>8}")
    with running() as (folder, processes):
        for number, (name, servers) in enumerate(sets.items()):
            urls = {} if servers is None else {server: serve(tools) for server, tools in servers.items()}
            settings = {server: {"url": url} for server, url in urls.items()} or {"sample": {"sample": True}}
            portal = {"servers": list(settings), "compact": {"descriptions": 120, "drop": ["examples", "titles", "repetitions"]}}
            config = json.dumps({"servers": settings, "portals": {"short": portal}})
            gateway = Gateway(binary, processes, folder, f"tokens{number}", config, has_store=False)
            expected = sum(map(len, servers.values())) if servers else 1
            until("all tools are listed", lambda: len(listed(gateway, "/mcp")) >= expected)
            full, short = listed(gateway, "/mcp"), listed(gateway, "/mcp/short")
            search = listed(gateway, "/mcp?discovery=search")
            found = []
            for detail in ("brief", "full"):
                asked = {"name": "search_tools", "arguments": {"query": "create a new issue", "detail": detail}}
                result = gateway.ask("tools/call", asked, "/mcp?discovery=search")["result"]
                found.append(result["content"][0]["text"])
            texts = [json.dumps(tools, separators=(",", ":")) for tools in (full, short, search)] + found
            tokens = json.loads(run("node", count, input=json.dumps(texts)))
            print(
                f"{name:<30} {len(full):>6} {tokens[0]:>9,} {tokens[1]:>9,} {tokens[2]:>7,} {tokens[3]:>9,} {tokens[4]:>8,}",
                flush=True,
            )
            assert len(short) == len(full), (len(short), len(full))
            assert tokens[2] <= MOST, f"a client with search gets {tokens[2]} tokens of definitions"
            assert tokens[3] < tokens[0], "a search costs more than all definitions"
            gateway.process.terminate()


if __name__ == "__main__":
    try:
        main()
    except Missing as error:
        sys.exit(str(error))
