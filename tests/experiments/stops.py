"""Emergency stops under load: two gateways on one PostgreSQL, 1,000 calls per second, and how long after the end of
the stop command either of them still lets a call through."""

import json
import socket
import subprocess
import threading
import time

from peers import free_port, need, run, until, wait_for_port

# The rate of both gateways together.
RATE = 1_000
CALLERS = 4
KINDS = ["server", "tool", "user", "agent", "service-account", "key", "credential", "tenant", "all"]


def received(stream):
    part = stream.recv(65536)
    if not part:
        raise ConnectionResetError
    return part


class Caller:
    """Makes calls at a steady rate over one connection, and stores when calls were let through and refused."""

    def __init__(self, gateway, key, tool, rate):
        self.gateway, self.pause = gateway, 1 / rate
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
        params = {"name": tool, "arguments": {"a": 1, "b": 2}, "_meta": meta}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        head = f"POST /mcp HTTP/1.1\r\nhost: 127.0.0.1:{gateway.port}\r\ncontent-type: application/json\r\n"
        head += "accept: application/json, text/event-stream\r\nmcp-protocol-version: 2026-07-28\r\n"
        head += f"mcp-method: tools/call\r\nmcp-name: {tool}\r\nauthorization: Bearer {key}\r\n"
        self.request = f"{head}content-length: {len(body)}\r\n\r\n{body}".encode()
        self.passed = self.last_passed = self.last_refused = 0.0
        self.count, self.others, self.ended = 0, [], threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def connect(self):
        stream = socket.create_connection(("127.0.0.1", self.gateway.port), timeout=20)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    def ask(self, stream):
        stream.sendall(self.request)
        text = b""
        while b"\r\n\r\n" not in text:
            text += received(stream)
        head, _, body = text.partition(b"\r\n\r\n")
        length = int(next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length"))[15:])
        while len(body) < length:
            body += received(stream)
        return body

    def run(self):
        stream, due = self.connect(), time.monotonic()
        while not self.ended.is_set():
            try:
                body = self.ask(stream)
            except OSError:
                # If a call is refused before its body was read, the connection may be closed.
                stream.close()
                stream = self.connect()
                continue
            now = time.monotonic()
            self.count += 1
            if b'"result"' in body:
                self.last_passed = now
            elif b'"stopped"' in body:
                self.last_refused = now
            else:
                self.others.append(body[:200])
            due = max(due + self.pause, now - 1)
            time.sleep(max(0, due - time.monotonic()))
        stream.close()

    def end(self):
        self.ended.set()
        self.thread.join()


def measure(kit, binary, folder, rounds):
    """Prints the slowest stop of each kind, without and with Valkey. `kit` starts databases and gateways."""
    count = rounds if rounds >= 50 else 2
    (folder / "database").mkdir()
    database = kit.Postgres(folder / "database")
    port = free_port()
    redis = subprocess.Popen(
        [need("redis-server", "Debian has it"), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL,
    )
    try:
        wait_for_port(port, redis, "Redis")
        shared = f"rate_limits: {{shared: 'redis://127.0.0.1:{port}', rules: {{all: {{rate: 1000000/s}}}}}}\n"
        for name, more in [("without Valkey", ""), ("with Valkey", shared)]:
            print(f"    {name}", flush=True)
            world(kit, binary, folder, database, more, count)
    finally:
        redis.kill()
        database.stop()


def world(kit, binary, folder, database, more, count):
    said = lambda *arguments: run(binary, *arguments, "--store", database.url).strip()
    inner = kit.Gateway(binary, folder, "servers: {sample: {sample: true}}", f"sqlite:{folder}/inner-{time.monotonic()}.db")
    header = f"headers: {{x-credential: 'a credential of the gateway'}}"
    config = f"""
store_key: ${{env:DOORWARD_STORE_KEY}}
policy: {{files: [open.cedar]}}
servers:
  sample: {{sample: true}}
  mail: {{url: 'http://127.0.0.1:{inner.port}/mcp/sample', {header}}}
{more}"""
    (folder / "open.cedar").write_text(kit.PERMIT)
    gateways = [kit.Gateway(binary, folder, config, database.url) for _ in range(2)]
    tenant = ["--in-tenant", "acme"]
    keys = {kind: said("keys", "create", f"--{kind}", "caller", *tenant) for kind in ["user", "agent", "service-account"]}
    admin = said("keys", "create", "--user", "root", "--admin")
    names = {"server": "sample", "tool": "sample/add", "key": keys["user"][4:16], "credential": "mail", "tenant": "acme"}
    slowest = {}
    for kind in KINDS:
        key = keys.get(kind, keys["user"])
        tool = "mail__add" if kind == "credential" else "sample__add"
        rate = RATE / (2 * CALLERS)
        callers = [Caller(gateway, key, tool, rate) for gateway in gateways for _ in range(CALLERS)]
        passes = lambda since: all(caller.last_passed > since for caller in callers)
        until("calls are let through", lambda: passes(0))
        for caller in callers:
            caller.others.clear()
        took, began, before = [], time.monotonic(), sum(caller.count for caller in callers)
        for number in range(count):
            name = [] if kind == "all" else [names.get(kind, "caller")]
            # Stop by the command on the store and by the admin API of one gateway, in turn.
            where = ["--admin-url", f"http://127.0.0.1:{gateways[0].admin}", "--key", admin] if number % 2 else []
            stop = said("stop", kind, *name, "--why", "an experiment", *where)
            returned = time.monotonic()
            until("all callers are refused", lambda: all(caller.last_refused > returned for caller in callers))
            # Wait a little longer, in which a call that was let through would show.
            settled = time.monotonic()
            time.sleep(0.2)
            last = max(caller.last_passed for caller in callers)
            assert last < settled, "a call was let through after others were refused"
            took.append(max(0, last - returned))
            said("stop", "undo", stop.rsplit("(")[1].rstrip(")"), "--why", "the next one", *where)
            since = time.monotonic()
            until("calls are let through again", lambda: passes(since))
        seconds, calls = time.monotonic() - began, sum(caller.count for caller in callers) - before
        for caller in callers:
            caller.end()
        wrong = [other for caller in callers for other in caller.others]
        assert not wrong, wrong[:3]
        slowest[kind] = max(took)
        middle = sorted(took)[len(took) // 2]
        print(
            f"      {kind}: {count} stops at {calls / seconds:.0f} calls/s: last call let through"
            f" {middle * 1000:.0f} ms after the command's return (median), {max(took) * 1000:.0f} ms (slowest)",
            flush=True,
        )
    for gateway in [*gateways, inner]:
        gateway.end()
    worst = max(slowest, key=slowest.get)
    print(f"      the slowest of all: {worst}, {slowest[worst] * 1000:.0f} ms")
    if slowest[worst] >= 1:
        raise AssertionError(f"stopping a {worst} took {slowest[worst]:.2f} s")
