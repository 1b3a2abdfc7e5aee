#!/usr/bin/env python3
"""A real OpenID provider, the gateway as its resource server, and the official SDKs' clients, which know nothing but
the gateway's URL and log in by themselves. Needs Node and Python; installs everything else."""

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from peers import PEERS, Missing, Processes, free_port, gateway_binary, install_python, need, run, up_to_date, wait_for_port  # noqa: E402

POLICIES = """
@id("staff")
permit (principal in Team::"staff", action in Action::"use", resource)
when { principal == User::"real:alice" && context.authentication == "token" && context has agent };
@id("no-slow")
forbid (principal, action, resource == Tool::"sample/slow");
"""


def install_node():
    need("node", "the provider runs on Node 20 or newer")
    npm = need("npm", "the provider comes from the npm registry")
    folder = PEERS / "oidc"
    folder.mkdir(parents=True, exist_ok=True)
    fresh, remember = up_to_date(folder, HERE / "node/package.json", HERE / "node/package-lock.json")
    for file in (HERE / "node").glob("*.*"):
        shutil.copy(file, folder)
    if not fresh:
        run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
        remember()
    return folder


class World:
    """A provider of one form, and a gateway that trusts it."""

    def __init__(self, processes, folder, binary, node, form):
        port, self.port = free_port(), free_port()
        provider = processes.start(["node", node / "provider.mjs", port, form], f"provider-{form}.log")
        wait_for_port(port, provider, "the provider")
        here = folder / form
        here.mkdir()
        (here / "staff.cedar").write_text(POLICIES)
        issuer = {"issuer": f"http://127.0.0.1:{port}"}
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


def check(name, told, resource):
    """What every login must have come to."""
    problems = []
    first = told["redirects"][0] if told["redirects"] else {}
    if len(told["redirects"]) != 1:
        problems.append(f"{len(told['redirects'])} logins")
    if first.get("code_challenge_method") != "S256":
        problems.append("no PKCE")
    if first.get("resource") != resource:
        problems.append(f"resource {first.get('resource')}")
    if told["sum"] != "23" or "sample__add" not in told["tools"] or "sample__slow" in told["tools"]:
        problems.append(f"tools {told['tools']}, sum {told['sum']}")
    print(f"{name:28} {'ok' if not problems else '; '.join(problems)}")
    return not problems


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gateway", help="the binary to test (default: built from this checkout)")
    options = options.parse_args()
    binary, node = gateway_binary(options.gateway), install_node()
    clients = {"typescript 1": ["node", node / "login.mjs", "1"], "typescript 2": ["node", node / "login.mjs", "2"]}
    for major in (1, 2):
        clients[f"python {major}"] = [install_python(major), HERE / "python/login.py", str(major)]
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
                done = subprocess.run([str(part) for part in [*command, world.url]], capture_output=True, text=True, timeout=60)
                if form == "nobody":
                    # A token that is for nobody is not for the gateway, however well the login went.
                    refused = "it is for somebody else" in (folder / f"gateway-{form}.log").read_text()
                    print(f"{f'{name}, {form}':28} {'ok' if done.returncode and refused else 'let in'}")
                    good &= bool(done.returncode and refused)
                    continue
                if done.returncode:
                    print(f"{name}, {form}: failed\n{done.stdout[-1500:]}{done.stderr[-3000:]}")
                    good = False
                    continue
                good &= check(f"{name}, {form}", json.loads(done.stdout.splitlines()[-1]), world.url)
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
