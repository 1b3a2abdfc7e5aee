"""A gateway under test, and the requests that a client of 2026-07-28 sends to it."""

import json
import time
import urllib.error
import urllib.request

from peers import free_port, run, until, wait_for_port

REVISION = "2026-07-28"
OWN = {
    "io.modelcontextprotocol/protocolVersion": REVISION,
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Gateway:
    """A gateway with a configuration, ports and, unless it needs none, its own store."""

    def __init__(self, binary, processes, folder, name, config, *options, has_store=True, ports=None):
        self.binary, self.folder = binary, folder
        self.port, self.admin = ports or (free_port(), free_port())
        self.file = folder / f"{name}.yaml"
        self.file.write_text(config)
        self.store = f"sqlite:{folder / name}.db" if has_store else "none"
        command = [binary, "serve", "--config", self.file, "--listen", f"127.0.0.1:{self.port}", *options]
        command += ["--admin", f"127.0.0.1:{self.admin}", "--store", self.store]
        self.began = time.monotonic()
        self.process = processes.start(command, f"{name}.log")
        wait_for_port(self.port, self.process, "the gateway")

    def get(self, path, accept=None):
        """The response of the admin listener: the status and the text."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin}{path}")
        if accept:
            request.add_header("accept", accept)
        try:
            with urllib.request.urlopen(request, timeout=5) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def ask(self, method, params, path="/mcp", headers=(), meta=None, patience=60):
        params = {**params, "_meta": {**OWN, **(meta or {})}}
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data=body)
        own = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
        own |= {"mcp-protocol-version": REVISION, "mcp-method": method}
        if "name" in params:
            own["mcp-name"] = params["name"]
        for name, value in (own | dict(headers)).items():
            request.add_header(name, value)
        with urllib.request.urlopen(request, timeout=patience) as answer:
            return json.load(answer)

    def told(self, *arguments):
        """The output of a command that uses the gateway's store."""
        return run(self.binary, *arguments, "--store", self.store)

    def key(self, *whose):
        """Creates an API key and waits until the gateway knows it."""
        key = self.told("keys", "create", *whose).strip()
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/mcp", method="PUT", headers={"authorization": f"Bearer {key}"}
        )

        def is_known():
            try:
                urllib.request.urlopen(request, timeout=5)
            except urllib.error.HTTPError as answer:
                return answer.code == 405

        until("the key is known", is_known)
        return key
