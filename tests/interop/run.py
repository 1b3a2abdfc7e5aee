#!/usr/bin/env python3
"""The interoperation matrix: clients and servers on the official SDKs, each client through the gateway to each
server, over every transport and in each era that both can use.

Installs the peers, pinned by the lock files beside this one, into `target/peers`. Prints the matrix and fails if a
cell is neither `ok` nor marked as impossible with its reason.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from peers import Missing, Processes, free_port, gateway_binary, install_node, install_rust, install_sdk, run, wait_for_port

# What the specifications or the SDKs make impossible: (client, server, feature) as patterns, and a sentence that
# explains it.
IMPOSSIBLE = [
    ("rmcp 2024-11-05 .*", ".*", "audio", "audio content came with 2025-03-26 (changelog): it is a text that says so"),
]


def impossible(client, server, feature):
    """Why a feature cannot work between the two, or `None`."""
    parts = (client, server, feature)
    return next((why for *patterns, why in IMPOSSIBLE if all(map(re.fullmatch, patterns, parts))), None)


class Matrix:
    def __init__(self, options):
        self.options = options
        self.node = install_node()
        self.python = {1: install_sdk(1), 2: install_sdk(2)}
        self.rmcp = install_rust()
        self.gateway = gateway_binary(options.gateway)
        self.folder = Path(tempfile.mkdtemp(prefix="doorward-interop-"))
        self.processes = Processes(self.folder)

    # Name, era, and how it is started: `{port}` is where it listens; otherwise it is a stdio program.
    def servers(self):
        one, two = self.python[1], self.python[2]
        node, py = self.node, HERE / "python"
        return {
            "ts1-http": ["node", node / "server1.mjs", "http", "{port}"],
            "ts1-sse": ["node", node / "server1.mjs", "sse", "{port}"],
            "ts1-stdio": ["node", node / "server1.mjs", "stdio"],
            "ts2-both": ["node", node / "server2.mjs", "both", "{port}"],
            "ts2-modern": ["node", node / "server2.mjs", "modern", "{port}"],
            "ts2-stdio": ["node", node / "server2.mjs", "stdio"],
            "py1-http": [one, py / "server1.py", "http", "{port}"],
            "py1-sse": [one, py / "server1.py", "sse", "{port}"],
            "py1-stdio": [one, py / "server1.py", "stdio"],
            "py2-http": [two, py / "server2.py", "http", "{port}"],
            "py2-sse": [two, py / "server2.py", "sse", "{port}"],
            "py2-stdio": [two, py / "server2.py", "stdio"],
            "rmcp-both": [self.rmcp / "server", "both", "http", "{port}"],
            "rmcp-modern": [self.rmcp / "server", "modern", "http", "{port}"],
            "rmcp-2506": [self.rmcp / "server", "2025-06-18", "http", "{port}"],
            "rmcp-2503": [self.rmcp / "server", "2025-03-26", "http", "{port}"],
            "rmcp-stdio": [self.rmcp / "server", "both", "stdio"],
            "rmcp-2411": [self.rmcp / "server", "2024-11-05", "stdio"],
        }

    def clients(self):
        one, two = self.python[1], self.python[2]
        node, py = self.node, HERE / "python"
        clients = {}
        for transport in ("http", "sse", "stdio"):
            clients[f"ts1 {transport}"] = ["node", node / "client1.mjs", transport]
            clients[f"ts2 legacy {transport}"] = ["node", node / "client2.mjs", "legacy", transport]
            clients[f"py1 {transport}"] = [one, py / "client1.py", transport]
            clients[f"py2 legacy {transport}"] = [two, py / "client2.py", "legacy", transport]
            if transport != "sse":  # HTTP+SSE is a transport of 2024-11-05 only
                clients[f"ts2 modern {transport}"] = ["node", node / "client2.mjs", "modern", transport]
                clients[f"py2 modern {transport}"] = [two, py / "client2.py", "modern", transport]
        for revision in ("2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"):
            if revision != "2024-11-05":  # 2024-11-05 has no Streamable HTTP
                clients[f"rmcp {revision} http"] = [self.rmcp / "client", revision, "http"]
            clients[f"rmcp {revision} stdio"] = [self.rmcp / "client", revision, "stdio"]
        return clients

    def start_servers(self):
        config = {}
        waiting = []
        for name, command in self.servers().items():
            if "{port}" not in command:
                config[name] = {"command": str(command[0]), "args": [str(part) for part in command[1:]]}
                continue
            port = free_port()
            process = self.processes.start([str(port) if part == "{port}" else part for part in command], f"{name}.log")
            waiting.append((port, process, name))
            config[name] = {"url": f"http://127.0.0.1:{port}/{'sse' if name.endswith('sse') else 'mcp'}"}
        for port, process, name in waiting:
            wait_for_port(port, process, name)
        file = self.folder / "doorward.json"
        file.write_text(json.dumps({"servers": config}))
        self.port, self.admin = free_port(), free_port()
        process = self.processes.start(
            [self.gateway, "serve", "--config", file, "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}", "--store", "none"],
            "gateway.log",
        )
        wait_for_port(self.admin, process, "the gateway")
        end = time.monotonic() + 60
        while any(state["state"] != "up" for state in self.states()):
            if time.monotonic() > end:
                raise Missing(f"servers are down: {self.states()}")
            time.sleep(0.2)

    def states(self):
        url = f"http://127.0.0.1:{self.admin}"
        return json.loads(run(self.gateway, "servers", "--json", "--admin-url", url))

    def cell(self, client, command, server):
        base = f"http://127.0.0.1:{self.port}"
        target = {
            "http": [f"{base}/mcp/{server}"],
            "sse": [f"{base}/sse/{server}"],
            "stdio": [self.gateway, "connect", f"{base}/mcp/{server}"],
        }[command[-1]]
        try:
            done = subprocess.run(
                [str(part) for part in [*command, *target]],
                capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
            )
            return json.loads(done.stdout.strip().splitlines()[-1])
        except subprocess.TimeoutExpired:
            return {"connect": "the client did not end within 120 s"}
        except (IndexError, ValueError):
            return {"connect": (done.stderr.strip().splitlines() or ["no output"])[-1]}

    def run(self):
        self.start_servers()
        servers, clients = list(self.servers()), self.clients()
        only = re.compile(self.options.only)
        pairs = [(c, s) for c in clients for s in servers if only.search(f"{c} > {s}")]
        with ThreadPoolExecutor(self.options.jobs) as pool:
            cells = pool.map(lambda pair: self.cell(pair[0], clients[pair[0]], pair[1]), pairs)
            results = dict(zip(pairs, cells))
        # The SDKs have races that show when everything runs at once, such as a progress notification that is dropped
        # when its response is already there. A failed cell is tried once more, alone, and reported.
        for pair, features in results.items():
            failed = {name: said for name, said in features.items() if said != "ok" and not impossible(*pair, name)}
            if not failed:
                continue
            print(f"second try of {' > '.join(pair)}, for {failed}")
            results[pair] = self.cell(pair[0], clients[pair[0]], pair[1])
        return self.report(results, servers, list(clients))

    def report(self, results, servers, clients):
        width = max(map(len, clients)) + 1
        print(f"\n{'features that work':{width}}" + "".join(f"{server:>12}" for server in servers))
        wrong, noted, total = [], set(), 0
        for client in clients:
            row = f"{client:{width}}"
            for server in servers:
                features = results.get((client, server))
                if features is None:
                    row += f"{'':>12}"
                    continue
                good, marked = 0, 0
                for feature, outcome in features.items():
                    why = impossible(client, server, feature)
                    if outcome == "ok":
                        good += 1
                    elif why:
                        marked += 1
                        noted.add(f"{client}, {feature}: {why}")
                    else:
                        wrong.append(f"{client} > {server}, {feature}: {outcome}")
                total += good
                row += f"{f'{good}/{len(features)}' + ('*' if marked else ''):>12}"
            print(row)
        for note in sorted(noted):
            print(f"* {note}")
        for problem in wrong:
            print(f"WRONG {problem}")
        print(f"\n{len(results)} cells, {total} features work, {len(wrong)} do not")
        return not wrong and total > 0

    def stop(self, good):
        self.processes.stop()
        if good:
            shutil.rmtree(self.folder, ignore_errors=True)
        else:
            print(f"logs: {self.folder}")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", help="the binary to test; built when absent")
    parser.add_argument("--only", default="", help="cells whose 'client > server' matches this pattern")
    parser.add_argument("--jobs", type=int, default=4, help="clients that run at a time")
    options = parser.parse_args()
    try:
        matrix = Matrix(options)
    except Missing as missing:
        print(f"the matrix cannot be run here: {missing}", file=sys.stderr)
        return 1
    good = False
    try:
        good = matrix.run()
    except Missing as missing:
        print(missing, file=sys.stderr)
    finally:
        matrix.stop(good)
    return 0 if good else 1


sys.exit(main())
