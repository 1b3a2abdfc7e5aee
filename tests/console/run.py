#!/usr/bin/env python3
"""The console and the portal in a real browser: the story of each screen against real gateways, roles, sessions that end, a
gateway that is restarted under an open page, people and what they want to know, a real OpenID provider, hostile texts, and
accessibility. Needs Node and Chromium; installs all else. Prints a line for each story."""

import argparse
import concurrent.futures
import http.server
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE.parent / "oidc/python")]
from front import install_node as install_provider, start_provider  # noqa: E402
from gateway import Gateway  # noqa: E402
from peers import PEERS, Missing, free_port, gateway_binary, need, one_at_a_time, run, running, up_to_date, wait_for_port  # noqa: E402

# Stories that share a gateway are told one after the other; those of two lanes side by side.
LANES = [
    {"people": ["session", "roles", "servers", "add", "import", "approvals", "policies", "calls", "why", "phone", "leaver", "restart"]},
    {"full": ["accessible", "portal"], "hostile": ["hostile"], "openid": ["openid"]},
]
STORIES = [story for lane in LANES for stories in lane.values() for story in stories]

CONFIG = """
pins: {{mode: "on"}}
servers:
  tickets: {{url: "http://127.0.0.1:{port}/tickets", list_ttl: 1s, owner: support, tags: [support], pins: {{on_new: first}}}}
  payments: {{url: "http://127.0.0.1:{port}/payments", risk: high, tags: [finance], pins: {{on_new: first}}}}
  mail: {{url: "http://127.0.0.1:{port}/mail", risk: medium, tags: [office], pins: {{on_new: first}}}}
  broken: {{url: "http://127.0.0.1:{port}/broken"}}
"""

HOSTILE = CONFIG + """  hostile: {{url: "http://127.0.0.1:{port}/hostile", pins: {{mode: "off"}}}}
  wrecked: {{url: "http://127.0.0.1:{port}/wrecked"}}
"""

# Much of everything, for those who look at screens.
FULL = CONFIG + """  calendar: {{url: "http://127.0.0.1:{port}/calendar", tags: [office], owner: office, pins: {{on_new: first}}}}
  wiki: {{url: "http://127.0.0.1:{port}/wiki", tags: [office], risk: low, pins: {{on_new: first}}}}
portals:
  helpdesk: {{description: "What the help desk needs", servers: [tickets, mail]}}
rate_limits:
  rules:
    everybody: {{rate: 500/s, burst: 1000}}
    each-user: {{per: [user], rate: 10/s, burst: 400, daily: 20000}}
billing:
  prices:
    tickets: {{tools: "tickets/*", call: 0.5}}
webhooks:
  chat: {{url: "https://hooks.example.com/doorward", secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", kinds: ["server.quarantined"]}}
"""

POLICIES = """// What people and their agents may do with tools.
@id("everybody")
permit (principal, action in Action::"use", resource);

@id("refunds")
@reason("Refunds need a lead")
@approval("role:lead")
forbid (principal, action == Action::"call", resource == Tool::"payments/refund");

@id("mail-inside")
@reason("Mail goes to addresses of the company only")
@arguments("to?: Emails")
forbid (principal, action == Action::"call", resource == Tool::"mail/send_mail")
unless { context.arguments has to && ["example.com"].containsAll(context.arguments.to.domains) };
"""

STAFF = """
@id("everybody")
permit (principal, action in Action::"use", resource);
@id("staff-looks")
permit (principal in Role::"staff", action in [Action::"view", Action::"read_audit"], resource);
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

    def __init__(self, binary, processes, folder, name, config):
        super().__init__(binary, processes, folder, name, config)
        self.processes, self.name = processes, name

    def stop(self):
        self.process.terminate()
        self.process.wait(20)

    def start(self):
        self.process = self.processes.start(self.process.args, f"{self.name}-restarted.log")
        wait_for_port(self.admin, self.process, "the gateway")
        wait_for_port(self.port, self.process, "the gateway")


def as_read(binary, texts):
    """What the gateway reads in configuration files, or in those of clients, as one text."""
    # What servers at which users log in require.
    around = 'store_key: "a master key of at least thirty-two characters"\npublic_url: https://tools.example.com\n'
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{at}.{'json' if text.startswith('{') else 'yaml'}" for at, text in enumerate(texts)]
        for file, text in zip(files, texts):
            file.write_text(text if file.suffix == ".json" else around + text)
        return run(binary, "import", *files, "--output", "-")


def suite_door(gateway):
    """Does for stories what a browser cannot: stops and starts the gateway, and has it read what screens show."""

    def read(asked):
        written = [run(gateway.binary, "catalog", "add", *words) for words in asked.get("catalog", [])]
        written += asked.get("written", [])
        return {"shown": as_read(gateway.binary, asked["shown"]), "written": as_read(gateway.binary, written)}

    class Door(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            asked = json.loads(self.rfile.read(int(self.headers["content-length"] or 0)) or "null")
            try:
                done = {"/stop": lambda _: gateway.stop(), "/start": lambda _: gateway.start(), "/read": read}[self.path](asked)
                status, body = 200, json.dumps(done).encode()
            except (Missing, AssertionError) as failed:
                status, body = 500, str(failed).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}"


def settle_in(binary, processes, folder, peers, config, name):
    """A gateway with servers, people and policies; what the stories know of it."""
    port = processes.listening(["node", peers / "servers.mjs", "{port}"], f"servers-{name}.log")
    gateway = Restarted(binary, processes, folder, name, config.format(port=port))
    told = gateway.told
    keys = {"root": told("keys", "create", "--user", "root", "--admin").strip()}
    for person, (roles, administers) in PEOPLE.items():
        told("principals", "set", "user", person, *(part for role in roles for part in ("--role", role)))
        keys[person] = told("keys", "create", "--user", person, *(["--administer"] if administers else [])).strip()
    policies = folder / f"policies-{name}"
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


def settle_in_with_provider(binary, processes, folder, *_):
    """A gateway whose people sign in at a real OpenID provider, in both faces."""
    port, admin = free_port(), free_port()
    callbacks = [f"http://127.0.0.1:{admin}/console/auth/callback", f"http://127.0.0.1:{port}/portal/auth/callback"]
    provider = start_provider(processes, install_provider(), "plain", *callbacks)
    corp = {"issuer": provider, "client_id": "doorward", "client_secret": "doorward-secret-of-the-provider"}
    corp |= {"scopes": ["openid", "groups"], "claims": {"roles": "groups"}, "trusted_for": {"roles": ["staff"]}}
    (folder / "staff.cedar").write_text(STAFF)
    config = {
        "identity": {"login": {"providers": {"corp": corp}}},
        "policy": {"files": ["staff.cedar"]},
        "servers": {"sample": {"sample": True}},
    }
    gateway = Gateway(binary, processes, folder, "openid", json.dumps(config), ports=(port, admin))
    return gateway, {
        "admin": f"http://127.0.0.1:{admin}", "clients": f"http://127.0.0.1:{port}", "provider": provider,
        "keys": {"root": gateway.told("keys", "create", "--user", "root", "--admin").strip()},
    }


GATEWAYS = {
    "people": (settle_in, CONFIG),
    "full": (settle_in, FULL),
    "hostile": (settle_in, HOSTILE),
    "openid": (settle_in_with_provider, ""),
}


def tell(story, peers, world):
    begun = time.monotonic()
    environment = {**os.environ, "WORLD": json.dumps(world)}
    command = ["node", peers / f"stories/{story}.mjs"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, env=environment)
    if done.returncode:
        raise AssertionError(f"{story}: {done.stdout[-3000:]}{done.stderr[-6000:]}")
    print(f"{story:<12} {time.monotonic() - begun:>5.1f} s  {done.stdout.strip()}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gateway", help="the binary; built when absent")
    parser.add_argument("--only", choices=STORIES, action="append", help="these stories alone")
    parser.add_argument("--application", help="built files to use instead of those in the binary, while the application is changed")
    parser.add_argument("--thorough", action="store_true", help="every view of every screen, and every entry of the catalogue")
    parser.add_argument("--screenshots", help="a folder for pictures of the screens, as docs/console.md shows them")
    parser.add_argument("--looks", help="a folder for pictures of every screen, wide and narrow, light and dark, to be looked at")
    options = parser.parse_args()
    binary = gateway_binary(options.gateway)
    chromium = shutil.which("chromium") or need("google-chrome", "the console runs in a real browser")
    peers = install_browser()
    common = {"chromium": chromium, "application": options.application and str(Path(options.application).resolve())}
    common |= {name: getattr(options, name) and str(Path(getattr(options, name)).resolve()) for name in ("screenshots", "looks")}

    common["thorough"] = options.thorough

    with running() as (folder, processes):

        def tell_all(lane):
            for name, stories in lane.items():
                wanted = [story for story in stories if story in (options.only or STORIES)]
                if not wanted:
                    continue
                settle, config = GATEWAYS[name]
                gateway, world = settle(binary, processes, folder, peers, config, name)
                world |= common | {"suite": suite_door(gateway)}
                for story in wanted:
                    tell(story, peers, world)
                gateway.process.terminate()

        with concurrent.futures.ThreadPoolExecutor(len(LANES)) as lanes:
            told = [lanes.submit(tell_all, lane) for lane in LANES]
        if failed := [str(lane.exception()) for lane in told if lane.exception()]:
            raise AssertionError("\n\n".join(failed))


if __name__ == "__main__":
    try:
        main()
    except Missing as missing:
        sys.exit(f"error: {missing}")
