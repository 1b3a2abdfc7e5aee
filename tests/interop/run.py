#!/usr/bin/env python3
"""The interoperation matrix: clients and servers of the official SDKs, each client through the
gateway to each server, over every transport and in each era that both can be made to speak.

Installs the peers, pinned by the lock files beside this one, into `target/peers`; prints the matrix
and fails if a cell is neither `ok` nor marked as impossible with its reason.
"""

import argparse
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
PEERS = TARGET / "peers"

# What the specifications, or the SDKs themselves, make impossible: (client, server, feature) as
# patterns, and the sentence that says so.
IMPOSSIBLE = []


class Missing(Exception):
    """Something that the matrix needs is not on this machine."""


def need(program, why):
    found = shutil.which(program)
    if not found:
        raise Missing(f"{program} is missing: {why}")
    return found


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode:
        raise Missing(f"{' '.join(map(str, command))} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout


def up_to_date(folder, *locks):
    """Whether a folder was installed from these very lock files; remembers it if not."""
    stamp, now = folder / ".locks", "".join(lock.read_text() for lock in locks)
    if stamp.exists() and stamp.read_text() == now:
        return True, lambda: None
    return False, lambda: stamp.write_text(now)


def install_node():
    need("node", "the TypeScript SDKs run on Node 20 or newer")
    npm = need("npm", "the TypeScript SDKs come from the npm registry")
    folder = PEERS / "node"
    folder.mkdir(parents=True, exist_ok=True)
    locks = [HERE / "node/package.json", HERE / "node/package-lock.json"]
    fresh, remember = up_to_date(folder, *locks)
    for file in (HERE / "node").glob("*.*"):
        if file.is_file():
            shutil.copy(file, folder)
    if not fresh:
        run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
        remember()
    return folder


def install_python(major):
    folder = PEERS / f"python{major}"
    lock = HERE / f"python/requirements-{major}.txt"
    folder.mkdir(parents=True, exist_ok=True)
    fresh, remember = up_to_date(folder, lock)
    python = folder / "bin/python"
    if not fresh:
        run(sys.executable, "-m", "venv", "--clear", folder)
        run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "-r", lock)
        remember()
    return python


def gateway_binary(given):
    if given:
        return Path(given)
    run(os.environ.get("CARGO", "cargo"), "build", "--locked", "-p", "doorward", cwd=ROOT)
    return TARGET / "debug/doorward"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for_port(port, process, what):
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if process.poll() is not None:
            raise Missing(f"{what} ended: {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return
        except OSError:
            time.sleep(0.05)
    raise Missing(f"{what} does not listen")


class Matrix:
    def __init__(self, options):
        self.options = options
        self.node = install_node()
        self.python = {1: install_python(1), 2: install_python(2)}
        self.gateway = gateway_binary(options.gateway)
        self.processes = []
        self.folder = Path(tempfile.mkdtemp(prefix="doorward-interop-"))

    # Name, era, how it is started; `{port}` where it listens, or a program.
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
            if transport != "sse":  # HTTP+SSE is a transport of 2024-11-05 alone
                clients[f"ts2 modern {transport}"] = ["node", node / "client2.mjs", "modern", transport]
                clients[f"py2 modern {transport}"] = [two, py / "client2.py", "modern", transport]
        return clients

    def start(self, command, log):
        with open(self.folder / log, "w") as out:
            process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out, stdin=subprocess.DEVNULL)
        self.processes.append(process)
        return process

    def start_servers(self):
        config = {}
        waiting = []
        for name, command in self.servers().items():
            if "{port}" not in command:
                config[name] = {"command": str(command[0]), "args": [str(part) for part in command[1:]]}
                continue
            port = free_port()
            process = self.start([str(port) if part == "{port}" else part for part in command], f"{name}.log")
            waiting.append((port, process, name))
            config[name] = {"url": f"http://127.0.0.1:{port}/{'sse' if name.endswith('sse') else 'mcp'}"}
        for port, process, name in waiting:
            wait_for_port(port, process, name)
        file = self.folder / "doorward.json"
        file.write_text(json.dumps({"servers": config}))
        self.port, self.admin = free_port(), free_port()
        process = self.start(
            [self.gateway, "serve", "--config", file, "--listen", f"127.0.0.1:{self.port}", "--admin", f"127.0.0.1:{self.admin}"],
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
        # The SDKs themselves have races that show when everything runs at once, such as a progress
        # notification that is dropped when its answer is at hand already: what failed is tried once
        # more, alone, and said.
        for pair, features in results.items():
            if all(outcome == "ok" for outcome in features.values()):
                continue
            failed = ", ".join(f"{name}: {outcome}" for name, outcome in features.items() if outcome != "ok")
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
                    why = next(
                        (why for c, s, f, why in IMPOSSIBLE
                         if re.fullmatch(c, client) and re.fullmatch(s, server) and re.fullmatch(f, feature)),
                        None,
                    )
                    if outcome == "ok":
                        good += 1
                    elif why:
                        marked += 1
                        noted.add(f"{client} > {server}, {feature}: {why}")
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
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
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
