#!/usr/bin/env python3
"""A real OpenID provider, the gateway as its resource server, and clients on the official SDKs, which know only the
gateway's URL and log in by themselves. Then the same clients with a provider that supports neither registration nor
resources, behind the gateway's own authorization server: registered, with a client metadata document, and once with
Chromium; and the official suite for authorization servers. Needs Node, Python, openssl and Chromium; installs
everything else."""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "python"), str(HERE.parent / "conformance")]
from front import POLICIES, Front, install_node, start_provider  # noqa: E402
from peers import Missing, Processes, free_port, gateway_binary, install_sdk, need, wait_for_port  # noqa: E402
from suite import Suite  # noqa: E402

class World:
    """A provider with one token format, and a gateway that trusts it."""

    def __init__(self, processes, folder, binary, node, form):
        self.port = free_port()
        provider = start_provider(processes, node, form)
        here = folder / form
        here.mkdir()
        (here / "staff.cedar").write_text(POLICIES)
        issuer = {"issuer": provider}
        if form != "jwt":
            issuer["introspection"] = {"client_id": "gateway", "client_secret": "gateway-secret"}
        config = {
            "identity": {"issuers": {"real": issuer}, "scopes": ["openid", "read"]},
            "policy": {"files": ["staff.cedar"]},
            "servers": {"sample": {"sample": True}},
        }
        (here / "doorward.yaml").write_text(json.dumps(config))
        command = [binary, "serve", "--config", here / "doorward.yaml", "--listen", f"127.0.0.1:{self.port}"]
        gateway = processes.start([*command, "--admin", "off", "--store", "none"], f"gateway-{form}.log")
        wait_for_port(self.port, gateway, "the gateway")
        self.url = f"http://127.0.0.1:{self.port}/mcp"


def bare_challenge(url):
    request = urllib.request.Request(url, b"{}", {"content-type": "application/json"})
    try:
        urllib.request.urlopen(request)
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers.get("www-authenticate")
    raise SystemExit("the gateway lets everybody in")


def log_in(name, command, url, more=None, client=None):
    """Lets a client log in and use a tool. Returns what was wrong."""
    environment = {**os.environ, **(more or {})}
    command = [str(part) for part in [*command, url]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90, env=environment)
    if done.returncode:
        print(f"{name:36} failed\n{done.stdout[-1500:]}{done.stderr[-3000:]}")
        return False
    told = json.loads(done.stdout.splitlines()[-1])
    problems = []
    first = told["redirects"][0] if told["redirects"] else {}
    if len(told["redirects"]) != 1:
        problems.append(f"{len(told['redirects'])} logins")
    if first.get("code_challenge_method") != "S256":
        problems.append("no PKCE")
    if first.get("resource") != url:
        problems.append(f"resource {first.get('resource')}")
    if client and first.get("client_id") != client:
        problems.append(f"client {first.get('client_id')}")
    if told["sum"] != "23" or "sample__add" not in told["tools"] or "sample__slow" in told["tools"]:
        problems.append(f"tools {told['tools']}, sum {told['sum']}")
    print(f"{name:36} {'ok' if not problems else '; '.join(problems)}")
    return not problems


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gateway", help="the binary to test (default: built from this checkout)")
    options = options.parse_args()
    chromium = shutil.which("chromium") or shutil.which("google-chrome") or need("chromium", "a person's browser")
    binary, node = gateway_binary(options.gateway), install_node()
    clients = {"typescript 1": ["node", node / "login.mjs", "1"], "typescript 2": ["node", node / "login.mjs", "2"]}
    for major in (1, 2):
        clients[f"python {major}"] = [install_sdk(major), HERE / "python/login.py", str(major)]
    folder = Path(tempfile.mkdtemp(prefix="doorward-oidc-"))
    processes = Processes(folder)
    good = True
    try:
        for form in ("jwt", "opaque", "nobody"):
            world = World(processes, folder, binary, node, form)
            status, challenge = bare_challenge(world.url)
            metadata = f"http://127.0.0.1:{world.port}/.well-known/oauth-protected-resource/mcp"
            if status != 401 or challenge != f'Bearer resource_metadata="{metadata}", scope="openid read"':
                print(f"a bare request: {status} {challenge}")
                good = False
            for name, command in clients.items():
                if form != "nobody":
                    good &= log_in(f"{name}, {form}", command, world.url)
                    continue
                # A token without an audience is not valid at the gateway, even though the login succeeded.
                done = subprocess.run([str(part) for part in [*command, world.url]], capture_output=True, timeout=60)
                refused = "it is for another audience" in (folder / f"gateway-{form}.log").read_text()
                print(f"{f'{name}, {form}':36} {'ok' if done.returncode and refused else 'let in'}")
                good &= bool(done.returncode and refused)
        front = Front(processes, folder, binary, node)
        for name, command in clients.items():
            good &= log_in(f"{name}, registered", command, front.url)
            document = {"CLIENT_DOCUMENT": front.document}
            good &= log_in(f"{name}, by its document", command, front.url, document, front.document)
        good &= log_in("typescript 2, Chromium", clients["typescript 2"], front.url, {"CHROMIUM": chromium})
        good &= front.refuses_documents()
        good &= front.examine(Suite())
    finally:
        processes.stop()
    if good:
        shutil.rmtree(folder)
    else:
        print(f"logs: {folder}")
    return 0 if good else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Missing as missing:
        sys.exit(f"error: {missing}")
