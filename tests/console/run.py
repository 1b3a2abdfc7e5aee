#!/usr/bin/env python3
"""The console in a real browser: the story of each screen against a real gateway, roles, sessions that end, and a
gateway that restarts under an open page. Needs Node and Chromium; installs Playwright. Prints a line for each story."""

import argparse
import http.server
import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from gateway import Gateway  # noqa: E402
from peers import PEERS, Missing, gateway_binary, need, one_at_a_time, run, running, up_to_date, wait_for_port  # noqa: E402

STORIES = ["session", "roles", "servers", "approvals", "policies", "calls", "restart"]

CONFIG = """
pins: {{mode: "on"}}
servers:
  tickets: {{url: "http://127.0.0.1:{port}/tickets", list_ttl: 1s, owner: "team:support", tags: [support], pins: {{on_new: first}}}}
  payments: {{url: "http://127.0.0.1:{port}/payments", risk: high, tags: [finance], pins: {{on_new: first}}}}
  hostile: {{url: "http://127.0.0.1:{port}/hostile", pins: {{mode: "off"}}}}
  broken: {{url: "http://127.0.0.1:{port}/broken"}}
"""

POLICIES = """// What people and their agents may do with tools.
@id("everybody")
permit (principal, action in Action::"use", resource);

@id("refunds")
@reason("Refunds need a lead")
@approval("role:lead")
forbid (principal, action == Action::"call", resource == Tool::"payments/refund");
"""

# The users: their roles, and whether their key can administer.
PEOPLE = {
    "ada": (["operator"], True),
    "sam": (["security", "operator"], True),
    "vic": (["auditor"], True),
    "lea": (["lead", "auditor"], True),
    "bob": ([], False),
}


@one_at_a_time
def install_browser():
    npm = need("npm", "Playwright comes from the npm registry")
    folder = PEERS / "console"
    folder.mkdir(parents=True, exist_ok=True)
    locks = [HERE / "node/package.json", HERE / "node/package-lock.json"]
    fresh, remember = up_to_date(folder, *locks)
    if not fresh:
        for lock in locks:
            shutil.copy(lock, folder)
        run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
        remember()
    # Node looks for modules beside the files that import them.
    for file in [*HERE.glob("*.mjs"), *(HERE / "stories").glob("*.mjs")]:
        there = folder / file.relative_to(HERE)
        there.parent.mkdir(exist_ok=True)
        shutil.copy(file, there)
    return folder


class Restarted(Gateway):
    """A gateway that can be restarted with the same ports and data."""

    def __init__(self, binary, processes, folder, config):
        super().__init__(binary, processes, folder, "console", config)
        self.processes = processes

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def start(self):
        self.process = self.processes.start(self.process.args, "restarted.log")
        wait_for_port(self.admin, self.process, "the gateway")
        wait_for_port(self.port, self.process, "the gateway")


def suite_door(gateway):
    """Lets stories stop and start the gateway over HTTP."""

    class Door(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            {"/stop": gateway.stop, "/start": gateway.start}[self.path]()
            self.send_response(200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def settle_in(binary, processes, folder, peers):
    """Sets up a gateway with servers, users and policies. Returns what the stories need to know."""
    port = processes.listening(["node", peers / "servers.mjs", "{port}"], "servers.log")
    gateway = Restarted(binary, processes, folder, CONFIG.format(port=port))
    told = gateway.told
    keys = {"root": told("keys", "create", "--user", "root", "--admin").strip()}
    for name, (roles, administers) in PEOPLE.items():
        told("principals", "set", "user", name, *(part for role in roles for part in ("--role", role)))
        keys[name] = told("keys", "create", "--user", name, *(["--administer"] if administers else [])).strip()
    policies = folder / "policies"
    run(binary, "policy", "example", "administrators", "--output", policies)
    (policies / "use.cedar").write_text(POLICIES)
    told("policy", "apply", policies, "--note", "The first")
    gateway.key("--user", "somebody")
    return gateway, {
        "admin": f"http://127.0.0.1:{gateway.admin}",
        "clients": f"http://127.0.0.1:{gateway.port}",
        "servers": f"http://127.0.0.1:{port}",
        "keys": keys,
    }


def tell(story, peers, world):
    begun = time.monotonic()
    environment = {**os.environ, "WORLD": json.dumps(world)}
    command = ["node", peers / f"stories/{story}.mjs"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=environment)
    if done.returncode:
        raise AssertionError(f"{story}: {done.stdout[-3000:]}{done.stderr[-6000:]}")
    print(f"{story:<12} {time.monotonic() - begun:>5.1f} s  {done.stdout.strip()}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", help="the binary; built when absent")
    parser.add_argument("--only", choices=STORIES, action="append", help="these stories alone")
    parser.add_argument("--application", help="built files to use instead of those in the binary, while the application is changed")
    options = parser.parse_args()
    binary = gateway_binary(options.gateway)
    chromium = shutil.which("chromium") or need("google-chrome", "the console runs in a real browser")
    peers = install_browser()
    application = options.application and str(Path(options.application).resolve())
    with running() as (folder, processes):
        gateway, world = settle_in(binary, processes, folder, peers)
        world |= {"chromium": chromium, "suite": suite_door(gateway), "application": application}
        for story in options.only or STORIES:
            tell(story, peers, world)


if __name__ == "__main__":
    try:
        main()
    except Missing as missing:
        sys.exit(f"error: {missing}")
