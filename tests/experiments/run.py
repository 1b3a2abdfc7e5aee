#!/usr/bin/env python3
"""Failures on purpose: the gateway is killed while it works, its disk fills up or fails, its database and shared
counters stop and come back, its clock jumps, and its servers are stopped in an emergency. Each experiment prints what
was sent, acknowledged, recorded and charged, and fails if anything was lost, or was duplicated that must not be.

    tests/experiments/run.py                    # as CI runs it, briefly
    tests/experiments/run.py --rounds 50        # the full length
    tests/experiments/run.py --only kill
"""

import argparse
import http.client
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
import stops  # noqa: E402
from peers import Missing, free_port, gateway_binary, need, run, until, wait_for_port  # noqa: E402

KEY = "0123456789abcdef0123456789abcdef"
PERMIT = "permit (principal, action, resource);"


class Postgres:
    """A PostgreSQL server for one experiment."""

    def __init__(self, folder):
        self.folder, self.port, self.process = folder, free_port(), None
        programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
        if not programs:
            raise Missing("PostgreSQL is missing: Debian has it")
        self.bin = programs[-1]
        self.as_user = []
        if os.getuid() == 0:
            run("chown", "postgres", folder)
            self.as_user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]
        run(*self.as_user, self.bin / "initdb", "-A", "trust", "-U", "doorward", "--no-sync", "-D", folder / "data")
        self.start()

    @property
    def url(self):
        return f"postgres://doorward@127.0.0.1:{self.port}/postgres"

    def start(self):
        command = [*self.as_user, self.bin / "postgres", "-D", self.folder / "data", "-p", self.port]
        command += ["-c", "listen_addresses=127.0.0.1", "-k", self.folder]
        command = [str(part) for part in command]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for_port(self.port, self.process, "PostgreSQL")
        ready = [str(self.bin / "pg_isready"), "-h", "127.0.0.1", "-p", str(self.port)]
        until("the database answers", lambda: subprocess.run(ready, capture_output=True).returncode == 0)

    def stop(self):
        # At once, with clients still connected.
        self.process.send_signal(signal.SIGQUIT)
        self.process.wait(20)


class Gateway:
    def __init__(self, binary, folder, config, store, env=None):
        self.binary, self.store = binary, store
        self.port, self.admin = free_port(), free_port()
        self.file = file = folder / f"gateway-{self.port}.yaml"
        file.write_text(config)
        self.log = open(folder / f"gateway-{self.port}.log", "w")
        command = [binary, "serve", "--config", file, "--listen", f"127.0.0.1:{self.port}", "--log-format", "json"]
        command += ["--admin", f"127.0.0.1:{self.admin}", "--store", store, "--no-watch"]
        environment = {**os.environ, "DOORWARD_STORE_KEY": KEY, **(env or {})}
        self.began = time.monotonic()
        self.process = subprocess.Popen([str(part) for part in command], stdout=self.log, stderr=self.log, env=environment)
        wait_for_port(self.port, self.process, "the gateway")
        until("it is ready", lambda: self.ready() == 200)
        self.took = time.monotonic() - self.began

    def says(self, config):
        """Changes the configuration."""
        self.file.write_text(config)
        self.process.send_signal(signal.SIGHUP)
        until("the new configuration is in force", lambda: self.log_text().count("configuration reloaded") > self.reloads)
        self.reloads += 1

    def log_text(self):
        return Path(self.log.name).read_text()

    reloads = 0

    def ready(self):
        if self.process.poll() is not None:
            raise Missing(f"the gateway ended: {self.process.returncode}")
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.admin, timeout=5)
            connection.request("GET", "/readyz")
            return connection.getresponse().status
        except OSError:
            return 0

    def kill(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.process.terminate()
        self.process.wait(30)


class Load:
    """Callers that call as fast as they are answered, and count the responses."""

    def __init__(self, gateways, key, tool="sample__add", callers=3):
        self.sent = self.ok = self.refused = self.other = 0
        self.statuses = {}
        self.lock, self.ended = threading.Lock(), threading.Event()
        self.threads = [
            # Daemon threads, so that nothing continues when an experiment fails.
            threading.Thread(target=self.call, args=(gateway, key, tool), daemon=True)
            for gateway in gateways
            for _ in range(callers)
        ]
        for thread in self.threads:
            thread.start()

    def call(self, gateway, key, tool):
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
        meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
        params = {"name": tool, "arguments": {"a": 1, "b": 2, "text": "x"}, "_meta": meta}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params})
        headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        headers |= {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/call", "mcp-name": tool}
        if key:
            headers["authorization"] = f"Bearer {key}"
        while not self.ended.is_set():
            with self.lock:
                self.sent += 1
            try:
                connection.request("POST", "/mcp", body, headers)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                if gateway.process.poll() is not None:
                    return
                connection.close()
                continue
            with self.lock:
                self.statuses[answer.status] = self.statuses.get(answer.status, 0) + 1
                if answer.status == 200 and b'"result"' in text:
                    self.ok += 1
                elif answer.status in (402, 429, 503):
                    self.refused += 1
                else:
                    self.other += 1
            if answer.status != 200:
                time.sleep(0.005)

    def end(self):
        self.ended.set()
        for thread in self.threads:
            thread.join()
        return self


class Books:
    """The contents of the store, according to the gateway's own commands."""

    def __init__(self, binary, store):
        self.binary, self.store = binary, store

    def told(self, *arguments):
        return run(self.binary, *arguments, "--store", self.store)

    def records(self, *arguments):
        text = self.told("audit", "search", "--json", "--limit", 10_000_000, *arguments)
        return [json.loads(line) for line in text.splitlines()]

    def verify(self):
        # Only this experiment writes to the database, and the key is stored in it.
        report = json.loads(self.told("audit", "verify", "--json", "--trust-database"))
        assert report["findings"] == [], report["findings"]
        return report

    def check(self, load, priced):
        """Every acknowledged call was recorded and charged, and none was recorded or charged twice."""
        # If a gateway was taken for dead, the outcome of its calls is recorded twice and counts once.
        records = [one for one in self.records("--tool", "add") if one["kind"] != "late"]
        count = lambda outcome: sum(1 for one in records if one.get("outcome") == outcome)
        ids = {one["id"] for one in records}
        ok, unknown = count("ok"), count("unknown")
        report, used = self.verify(), json.loads(self.told("usage", "--by", "tool", "--format", "json"))
        said = {"sent": load.sent, "acknowledged": load.ok, "recorded": len(records), "ok": ok, "unknown": unknown}
        said |= {"cancelled": count("cancelled"), "records in all": report["records"], "chains": len(report["chains"])}
        if priced:
            books = json.loads(self.told("credits", "check", "--json"))
            charged = sum(one.get("price", 0) for one in records)
            said |= {"charged": charged // 1_000_000, "spent": books["spent"], "held": books["held"]}
            assert books["sum"] == "0" and not books["wrong"] and not books["unbalanced"], books
            assert charged == (ok + unknown) * 1_000_000 == int(float(books["spent"]) * 1_000_000), said
        print("   ", ", ".join(f"{name} {value}" for name, value in said.items()))
        assert len(ids) == len(records) <= load.sent, said
        assert ok + unknown >= load.ok, said
        calls = sum(row["calls"] for row in used if row["tool"] == "add")
        assert calls == len(records), (calls, said)


def merged(loads):
    total = loads[0]
    for load in loads[1:]:
        total.sent, total.ok = total.sent + load.sent, total.ok + load.ok
    return total


CONFIG = """
store_key: ${env:DOORWARD_STORE_KEY}
servers: {sample: {sample: true, tools: {add: {write: true}}}}
policy: {files: [open.cedar]}
audit: {write_timeout: 1s}
billing: {prices: {add: {tools: sample/add, call: 1}}}
"""


def prepared(binary, folder, store):
    (folder / "open.cedar").write_text(PERMIT)
    books = Books(binary, store)
    key = books.told("keys", "create", "--user", "alice", "--in-tenant", "acme").strip()
    books.told("credits", "grant", "--tenant", "acme", "1000000")
    return books, key


def kill(binary, folder, rounds):
    """kill -9 under load: two gateways on one PostgreSQL, one of which is killed repeatedly at a random moment.
    Meanwhile keys are created, and every acknowledged one must exist."""
    database = Postgres(folder)
    try:
        books, key = prepared(binary, folder, database.url)
        steady = Gateway(binary, folder, CONFIG, database.url)
        loads, slowest, made = [], 0, []
        for number in range(rounds):
            mortal = Gateway(binary, folder, CONFIG, database.url)
            slowest = max(slowest, mortal.took)
            load = Load([steady, mortal], key, callers=2)
            end = time.monotonic() + random.uniform(0.005, 0.5)
            while time.monotonic() < end and number % 5 == 0:
                made.append(books.told("keys", "create", "--user", f"user-{len(made)}").strip().split("_")[1])
            time.sleep(max(0, end - time.monotonic()))
            mortal.kill()
            time.sleep(0.02)
            loads.append(load.end())
        steady.kill()
        heir = Gateway(binary, folder, CONFIG, database.url)
        died = lambda: len([one for one in books.records("--class", "events") if one.get("event") == "writer.died"])
        until("all are buried", lambda: died() == rounds + 1)
        heir.end()
        print(f"    {rounds} kills, slowest start {slowest:.2f} s, {len(made)} keys made")
        assert slowest < 5, slowest
        known = {one["id"] for one in json.loads(books.told("keys", "list", "--all", "--json"))}
        assert set(made) <= known, "a key that was acknowledged is gone"
        books.check(merged(loads), True)
    finally:
        database.stop()


def disk(binary, folder, rounds):
    """A disk of a few megabytes fills up under load and then gets space again: meanwhile, calls that must be recorded
    are refused."""
    place = folder / "disk"
    place.mkdir()
    # The disk must hold all records of the experiment.
    size = f"size={24 + rounds * 4}m"
    if subprocess.run(["mount", "-t", "tmpfs", "-o", size, "none", place], capture_output=True).returncode:
        print("    not run: no disk can be mounted here")
        return
    try:
        store = f"sqlite:{place}/doorward.db"
        books, key = prepared(binary, folder, store)
        gateway = Gateway(binary, folder, CONFIG, store)
        load = Load([gateway], key)
        for _ in range(max(1, rounds // 3)):
            time.sleep(0.3)
            with open(place / "ballast", "wb") as ballast:
                try:
                    while True:
                        ballast.write(bytes(1 << 20))
                except OSError:
                    pass
            until("calls are refused", lambda: gateway.ready() == 503)
            before = load.ok
            # Longer than a call waits for its record.
            time.sleep(1.5)
            assert load.ok - before <= 6, "calls went on without a record"
            (place / "ballast").unlink()
            until("it is written again", lambda: gateway.ready() == 200)
        time.sleep(0.3)
        load.end()
        gateway.end()
        print(f"    refused {load.refused}, statuses {load.statuses}")
        assert load.refused > 0
        books.check(load, True)
    finally:
        subprocess.run(["umount", "-l", place], capture_output=True)


def writes(binary, folder, rounds):
    """A failing disk: the k-th write or sync of the database fails, once or for a while, for every k in turn. The
    gateway may refuse to start, with a reason, or refuse calls. It continues when the disk does, and nothing is lost
    or half done."""
    library = folder / "failing.so"
    compiler = need("cc", "Debian's gcc has it")
    run(compiler, "-shared", "-fPIC", "-o", library, HERE / "failing.c", "-ldl")
    place = folder / "writes"
    place.mkdir()
    store = f"sqlite:{place}/doorward.db"
    books, key = prepared(binary, folder, store)
    loads, unstarted, refused = [], 0, 0
    for at in range(1, rounds * 28, 7):
        times = 1 if at % 2 else 5
        failing = {"LD_PRELOAD": library, "FAIL_NAME": place / "doorward.db", "FAIL_AT": at, "FAIL_TIMES": times}
        try:
            gateway = Gateway(binary, folder, CONFIG, store, {name: str(value) for name, value in failing.items()})
        except Missing:
            unstarted += 1
            continue
        load = Load([gateway], key, callers=2)
        time.sleep(0.15)
        until("it is written again", lambda: gateway.ready() == 200)
        before = load.ok
        until("calls are answered again", lambda: load.ok > before)
        loads.append(load.end())
        refused += load.refused
        gateway.end()
    print(f"    {len(loads) + unstarted} disks, with {unstarted} the gateway did not start, refused {refused}")
    assert loads
    books.check(merged(loads), True)


def database(binary, folder, rounds):
    """The database stops and starts under load: meanwhile, calls that must be recorded are refused, and afterwards
    everything works."""
    server = Postgres(folder)
    try:
        books, key = prepared(binary, folder, server.url)
        gateways = [Gateway(binary, folder, CONFIG, server.url) for _ in range(2)]
        load = Load(gateways, key)
        for _ in range(max(1, rounds // 3)):
            time.sleep(0.5)
            server.stop()
            until("readiness turns red", lambda: gateways[0].ready() == 503)
            before = load.ok
            time.sleep(1)
            assert load.ok == before, "calls went on without a record"
            server.start()
            until("all is well again", lambda: all(gateway.ready() == 200 for gateway in gateways))
        time.sleep(0.5)
        load.end()
        for gateway in gateways:
            gateway.end()
        print(f"    refused {load.refused}, statuses {load.statuses}")
        assert load.refused > 0 and set(load.statuses) <= {200, 503}, load.statuses
        books.check(load, True)
    finally:
        server.stop()


def valkey(binary, folder, rounds):
    """The store of shared counters stops and starts: meanwhile, rules that fail closed refuse calls, and rules that
    fail open are counted locally."""
    port = free_port()
    program = need("redis-server", "Debian has it")
    command = [program, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    start = lambda: subprocess.Popen(command, stdout=subprocess.DEVNULL)
    server = start()
    wait_for_port(port, server, "Redis")
    try:
        rules = f"""
servers: {{sample: {{sample: true}}}}
rate_limits:
  shared: redis://127.0.0.1:{port}
  rules:
    closed: {{only: {{tools: [sample/add]}}, rate: 100000/s, store_away: closed}}
    open: {{only: {{tools: [sample/echo]}}, rate: 100000/s}}
"""
        gateway = Gateway(binary, folder, rules, f"sqlite:{folder}/valkey.db")
        closed = Load([gateway], None)
        opened = Load([gateway], None, "sample__echo")
        for number in range(max(2, rounds // 3)):
            time.sleep(0.3)
            if number % 2:
                server.send_signal(signal.SIGSTOP)
            else:
                server.kill()
                server.wait()
            refused = closed.refused
            until("the closed one is refused", lambda: closed.refused > refused + 10)
            before = opened.ok
            time.sleep(0.5)
            assert opened.ok > before, "the open one does not go on"
            if number % 2:
                server.send_signal(signal.SIGCONT)
            else:
                server = start()
                wait_for_port(port, server, "Redis")
            passed = closed.ok
            until("it is asked again", lambda: closed.ok > passed + 10)
        closed.end(), opened.end()
        gateway.end()
        print(f"    closed: {closed.ok} answered, {closed.refused} refused; open: {opened.ok} answered, {opened.refused} refused")
        assert opened.refused == 0 and opened.other == closed.other == 0
    finally:
        server.kill()


def clock(binary, folder, rounds):
    """The clock jumps forward and back under load: no key lives longer, no quota is doubled, nothing expires at once,
    and the audit log stays in order."""
    library = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
    if not library:
        raise Missing("faketime is missing: Debian has it")
    offset = folder / "offset"
    offset.write_text("+0s")
    env = {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(offset), "FAKETIME_NO_CACHE": "1"}
    env["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
    store = f"sqlite:{folder}/clock.db"
    books, key = prepared(binary, folder, store)
    short = books.told("keys", "create", "--user", "bob", "--expires", "1h").strip()
    quota = "rate_limits: {rules: {day: {per: [user], only: {users: [alice], tools: [sample/echo]}, daily: 100}}}\n"
    gateway = Gateway(binary, folder, CONFIG + quota, store, env)

    def once(key, tool):
        load = Load([gateway], key, tool, callers=1)
        until("one was answered", lambda: load.ok + load.refused + load.other >= 1)
        return load.end()

    until("the key is known", lambda: once(short, "sample__add").ok)
    load, drawn, loads = Load([gateway], key), 0, []
    for jump in ["+3600s", "-3600s", "+7300s", "-10s", "+0s", "+1d", "+0s", "+1d"][: max(4, rounds)]:
        offset.write_text(jump)
        time.sleep(0.4)
        before = load.ok
        echo = Load([gateway], key, "sample__echo", callers=1)
        time.sleep(0.4)
        drawn += echo.end().ok
        assert load.ok > before + 10, f"calls stand still after {jump}"
        answered = once(short, "sample__add")
        loads.append(answered)
        if jump == "+7300s":
            assert not answered.ok and 401 in answered.statuses, "a key that has expired was let in"
    load.end()
    gateway.end()
    # At most two days occur; going back to the day before does not start a new one.
    days = 2 if "+1d" in offset.read_text() or rounds >= 6 else 1
    print(f"    {drawn} drawn of a quota of 100 a day, over {days} or so days; statuses {load.statuses}")
    assert drawn <= 100 * (days + 1) and set(load.statuses) == {200}, load.statuses
    report = books.verify()
    print(f"    {report['records']} records in their order, {len(report['chains'])} chains")


# The steps that each state allows, and the next state; none where the step leads back.
STEPS = {
    None: {"propose": "proposed"},
    "proposed": {"propose": "proposed", "review": "in_review", "reject": "retired"},
    "in_review": {"look": "in_review", "approve": "approved", "reject": "retired"},
    "approved": {"activate": "active", "retire": "retired", "quarantine": "quarantined"},
    "active": {"deprecate": "deprecated", "accept": "active", "retire": "retired", "quarantine": "quarantined"},
    "deprecated": {"activate": "active", "accept": "deprecated", "retire": "retired", "quarantine": "quarantined"},
    "retired": {"propose": "proposed", "quarantine": "quarantined"},
    "quarantined": {"release": None},
}
SERVES = {"active", "deprecated"}


class Desk:
    """An administrator's requests to one gateway, each on a separate connection: a kill ends one of them."""

    def __init__(self, gateway, key):
        self.gateway, self.key = gateway, key

    def ask(self, method, path, body=None):
        """The status and the response; a status of 0 if there was none."""
        headers = {"content-type": "application/json", "authorization": f"Bearer {self.key}"}
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.gateway.admin, timeout=20)
                connection.request(method, f"/admin/v1/servers{path}", json.dumps(body) if body else None, headers)
                answer = connection.getresponse()
                text = answer.read()
            except (OSError, http.client.HTTPException):
                return 0, None
            if answer.status != 429:
                return answer.status, json.loads(text)
            time.sleep(0.05)


class Lives:
    """Servers that go through random steps of their lifecycle, and what is known about each: the acknowledged state
    and the step in progress."""

    def __init__(self, names, url, proposer, reviewer):
        self.url, self.proposer, self.reviewer = url, proposer, reviewer
        self.state = {name: None for name in names}
        self.was, self.looked, self.open, self.done = {}, set(), {}, {}
        # The definitions that the servers currently return, and those that were approved.
        self.version, self.pinned = 0, {}

    def step(self, gateway):
        """One step of one server. Returns whether the gateway responded."""
        name = random.choice(list(self.state))
        state = self.state[name]
        possible = [one for one in STEPS[state] if one != "approve" or name in self.looked]
        if self.pinned.get(name) == self.version:
            possible = [one for one in possible if one != "accept"]
        # Most steps end the use of a server or its review, so these get a lower weight.
        weights = [1 if one in ("propose", "reject", "quarantine", "retire") else 6 for one in possible]
        step = random.choices(possible, weights)[0]
        after = STEPS[state][step] or self.was.get(name)
        self.open = {"name": name, "step": step, "after": after, "before": state}
        if step == "propose":
            body = {"name": name, "settings": {"url": self.url}, "reason": "an experiment"}
            status, said = Desk(gateway, self.proposer).ask("POST", "", body)
        elif step == "accept":
            desk = Desk(gateway, self.reviewer)
            status, waiting = desk.ask("GET", f"/{name}/drift")
            hashes = [one["hash"] for one in waiting["items"]] if status == 200 else []
            if status == 200 and not hashes:
                # The gateway has not seen yet what the server returns now.
                self.open = {}
                return True
            if status == 200:
                status, said = desk.ask("POST", f"/{name}/drift/accept", {"hashes": hashes})
        else:
            body = {"review": {"allow_private": True}, "look": {}}.get(step, {"reason": "an experiment"})
            status, said = Desk(gateway, self.reviewer).ask("POST", f"/{name}/{step}", body)
        if status == 0:
            return False
        assert status in (200, 201), (self.open, status, said)
        self.took_place(name, step, state, after)
        self.open = {}
        return True

    def took_place(self, name, step, state, after):
        self.done[step] = self.done.get(step, 0) + 1
        if step == "propose":
            self.looked.discard(name)
        elif step == "look":
            self.looked.add(name)
            self.seen[name] = self.version
        elif step == "approve":
            self.pinned[name] = self.seen[name]
        elif step == "accept":
            self.pinned[name] = self.version
        elif step == "quarantine":
            self.was[name] = state
        self.state[name] = after

    def check(self, gateway):
        """After a restart: acknowledged steps are there, a step in progress is there or not, and nothing in between."""
        desk, settled, steps = Desk(gateway, self.reviewer), {}, {}
        own_accept = self.open.get("name") if self.open.get("step") == "accept" else None
        for name in self.state:
            status, server = desk.ask("GET", f"/{name}")
            now = server["state"] if status == 200 else None
            history = desk.ask("GET", f"/{name}/history")[1]["steps"] if now else []
            own = self.open if self.open.get("name") == name else {}
            assert now in {self.state[name], own.get("after", self.state[name])}, (name, now, self.state[name], own)
            assert [one["n"] for one in history] == list(range(1, len(history) + 1)), history
            assert now is None or history[-1]["to"] == now, (name, now, history)
            review = desk.ask("GET", f"/{name}/review")[1] if now == "in_review" else {}
            if review.get("look"):
                self.seen[name] = version_of(review["look"]["tools"])
            if own and own["step"] == "look":
                if review.get("look"):
                    self.looked.add(name)
            elif own and (now != own["before"] or (own["step"] == "propose" and now == "proposed")):
                made = history[-1]["step"] == own["step"]
                if made and (now != own["before"] or len(history) > self.steps.get(name, 0)):
                    self.took_place(name, own["step"], own["before"], own["after"])
            settled[name], steps[name] = now, len(history)
        assert settled == self.state, (settled, self.state, self.open)
        self.steps, self.open = steps, {}
        self.check_served(gateway, own_accept)

    def check_served(self, gateway, unsure):
        """Servers in use are served, except for a tool whose approved definition differs."""
        wanted = {name for name, state in self.state.items() if state in SERVES}

        def is_served():
            listed = served(gateway, self.reviewer)
            changing = {name for name, tools in listed.items() if any(tool.endswith("add") for tool in tools)}
            assert set(listed) <= wanted, (listed, wanted)
            for name in changing:
                assert self.pinned[name] == self.version or name == unsure, (name, self.pinned, self.version)
            approved = {name for name in wanted if self.pinned[name] == self.version}
            if set(listed) != wanted or changing - {unsure} != approved - {unsure}:
                return False
            if unsure in changing:
                self.pinned[unsure] = self.version
            return True

        until("what is in use is served", is_served)

    steps, seen = {}, {}


def served(gateway, key):
    """The listed tools, by server."""
    meta = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {"_meta": meta}})
    headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
    headers |= {"mcp-protocol-version": "2026-07-28", "mcp-method": "tools/list", "authorization": f"Bearer {key}"}
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    connection.request("POST", "/mcp", body, headers)
    listed = {}
    for tool in json.loads(connection.getresponse().read())["result"]["tools"]:
        listed.setdefault(tool["name"].split("__")[0], set()).add(tool["name"])
    return listed


def version_of(tools):
    """The version of the changing tool in a list."""
    return next(int(tool["description"].split()[-1]) for tool in tools if tool["name"].endswith("add"))


def lives(binary, folder, rounds):
    """kill -9 while servers are proposed, reviewed, approved, put in use and taken out of it. After each restart
    every change is there or not, together with its step and its audit record, and nothing is served that was not
    approved."""
    says = "servers: {{sample: {{sample: true}}}}\nportals: {{it: {{servers: [sample], describe: {{sample/add: Adds {}}}}}}}"
    upstream = Gateway(binary, folder, says.format(0), "none")
    store = f"sqlite:{folder}/doorward.db"
    (folder / "open.cedar").write_text(PERMIT)
    books = Books(binary, store)
    proposer, reviewer = (books.told("keys", "create", "--user", name, "--admin").strip() for name in ("alice", "bob"))
    config = f"policy: {{files: [{folder}/open.cedar]}}\nservers: {{}}"
    with socket.socket() as trap:
        # Proposals that are never reviewed point to a listener that would notice every connection.
        trap.bind(("127.0.0.1", 0))
        trap.listen()
        trap.settimeout(0)
        url = f"http://localhost:{upstream.port}/mcp/it"
        names = [f"server{number}" for number in range(6)]
        running = Lives(names, url, proposer, reviewer)
        kills, slowest, lost = rounds * 4, 0, 0
        first = Gateway(binary, folder, config, store)
        never = {"name": "never", "settings": {"url": f"http://localhost:{trap.getsockname()[1]}/mcp"}}
        assert Desk(first, proposer).ask("POST", "", never)[0] == 201
        first.kill()
        for _ in range(kills):
            gateway = Gateway(binary, folder, config, store)
            slowest = max(slowest, gateway.took)
            running.check(gateway)
            killer = threading.Timer(random.uniform(0.005, 0.4), gateway.kill)
            killer.start()
            while running.step(gateway):
                pass
            killer.join()
            lost += 1 if running.open else 0
            if random.random() < 0.3:
                running.version += 1
                upstream.says(says.format(running.version))
        gateway = Gateway(binary, folder, config, store)
        running.check(gateway)
        try:
            trap.accept()
            raise AssertionError("a server that was never reviewed was connected to")
        except BlockingIOError:
            pass
        gateway.end()
    upstream.end()
    acts = [one for one in books.records("--class", "acts") if one.get("act", "").startswith("server.")]
    acts = [one for one in acts if one["act"] != "server.look" and one["subject"] != "never"]
    steps = sum(running.steps.values())
    counted = ", ".join(f"{step} {count}" for step, count in sorted(running.done.items()))
    print(f"    {kills} kills, {lost} with a change under way, slowest start {slowest:.2f} s; {counted}")
    assert len(acts) == steps, (len(acts), steps)
    books.verify()


def stop(binary, folder, rounds):
    """An emergency stop takes effect at every gateway within a second. With 50 rounds or more, each kind is tried
    fifty times."""
    stops.measure(sys.modules[__name__], binary, folder, rounds)


EXPERIMENTS = {"kill": kill, "lives": lives, "disk": disk, "writes": writes, "database": database, "valkey": valkey, "clock": clock}
EXPERIMENTS["stop"] = stop


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--gateway", help="a gateway's binary; when absent, it is built")
    options.add_argument("--only", choices=EXPERIMENTS)
    options.add_argument("--rounds", type=int, default=6, help="how often what breaks is broken")
    options = options.parse_args()
    binary = gateway_binary(options.gateway)
    for name in [name for name in os.environ if name.startswith("DOORWARD_")]:
        del os.environ[name]
    for name, experiment in EXPERIMENTS.items():
        if options.only in (None, name):
            print(name, flush=True)
            with tempfile.TemporaryDirectory() as folder:
                # PostgreSQL runs as another user.
                os.chmod(folder, 0o755)
                try:
                    experiment(binary, Path(folder), options.rounds)
                except BaseException:
                    for log in sorted(Path(folder).glob("*.log"))[-2:]:
                        print(f"--- {log.name}", log.read_text()[-1500:], sep="\n")
                    raise


if __name__ == "__main__":
    try:
        main()
    except Missing as missing:
        sys.exit(f"cannot run: {missing}")
