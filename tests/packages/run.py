#!/usr/bin/env python3
"""Published servers as packages: locked with the registries that npm and pip use on this machine, run in the sandbox
behind the gateway, and called; then once more from the downloaded files, without a registry. Needs Node, Python with
pip, and git."""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from gateway import Gateway  # noqa: E402
from peers import PEERS, Missing, gateway_binary, need, run, running, until  # noqa: E402

# No server listens here.
NOWHERE = "http://127.0.0.1:9/"
IS_ROOT = os.geteuid() == 0
USER = ", user: nobody" if IS_ROOT else ""


def configuration(packages, data, repository):
    """Packages, each with the permissions that it needs and no others."""
    system = Path("/usr/bin/python3")
    python = f", python: {system}" if system.exists() else ""
    # Python compiles its modules at each start, which takes a while on a busy machine.
    return f"""
timeouts: {{probe: 60s}}
packages: {{folder: '{packages}'{python}}}
servers:
  files:
    package: {{npm: '@modelcontextprotocol/server-filesystem', version: 2025.8.21}}
    args: ['{data}']
    confine: {{read: ['{data}']{USER}}}
  memory:
    package: {{npm: '@modelcontextprotocol/server-memory', version: 2025.4.25}}
    env: {{MEMORY_FILE_PATH: '{data}/out/memory.json'}}
    confine: {{write: ['{data}/out']{USER}}}
  everything:
    package: {{npm: '@modelcontextprotocol/server-everything', version: 2025.9.25}}
    confine: {{network: false{USER}}}
  time:
    package: {{pypi: mcp-server-time, version: 2026.10.19}}
    args: [--local-timezone, Europe/Berlin]
    confine: {{network: false{USER}}}
  git:
    package: {{pypi: mcp-server-git, version: 2026.10.19}}
    args: [--repository, '{repository}']
    confine: {{read: ['{repository}']{USER}}}
"""


def lock(binary, file, *options, fails=False, environment=()):
    done = subprocess.run(
        [binary, "servers", "lock", "--config", file, *options],
        capture_output=True,
        text=True,
        env=os.environ | dict(environment),
    )
    assert (done.returncode != 0) == fails, f"{options}: {done.stdout}{done.stderr}"
    return done.stdout if not fails else done.stderr


def call(gateway, tool, arguments):
    answer = gateway.ask("tools/call", {"name": tool, "arguments": arguments}, patience=30)
    result = answer["result"]
    return "\n".join(part.get("text", "") for part in result["content"]), result.get("isError", False)


def check_tools(gateway, data, repository):
    """Each server does its job, and nothing that it may not do."""
    said, failed = call(gateway, "files__read_text_file", {"path": f"{data}/hello.txt"})
    assert not failed and "hello" in said, said
    said, failed = call(gateway, "files__write_file", {"path": f"{data}/new.txt", "content": "x"})
    assert failed and not (data / "new.txt").exists(), f"a folder that it may only read was written to: {said}"
    entities = [{"name": "door", "entityType": "thing", "observations": ["it is open"]}]
    said, failed = call(gateway, "memory__create_entities", {"entities": entities})
    assert not failed, said
    assert "it is open" in call(gateway, "memory__read_graph", {})[0]
    assert "5" in call(gateway, "everything__add", {"a": 2, "b": 3})[0]
    said, failed = call(gateway, "time__get_current_time", {"timezone": "Asia/Tokyo"})
    assert not failed and "Asia/Tokyo" in said, said
    said, failed = call(gateway, "git__git_log", {"repo_path": str(repository)})
    assert not failed and "the first commit" in said, said


@contextlib.contextmanager
def serving(binary, processes, folder, name, file):
    began = time.monotonic()
    gateway = Gateway(binary, processes, folder, name, file.read_text(), "--log-format", "json")
    down = lambda: [s for s in json.loads(gateway.get("/admin/v1/servers/status")[1])["items"] if s["state"] != "up"]

    def ready():
        # The gateway is ready once its packages are prepared.
        try:
            return gateway.get("/readyz")[0] == 200 and not down()
        except OSError:
            return False

    try:
        until("all servers are up", ready, patience=120)
    except AssertionError as error:
        raise AssertionError(f"{error}: {down()}") from None
    print(f"  {name}: all servers are up after {time.monotonic() - began:.1f} s", flush=True)
    yield gateway
    gateway.process.terminate()
    gateway.process.wait(timeout=20)


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gateway", help="the binary [default: built now]")
    options = options.parse_args()
    binary = gateway_binary(options.gateway)
    for program, why in [("node", "npm packages run on it"), ("npm", "it knows the registry"), ("git", "a server uses it")]:
        need(program, why)
    with running() as (folder, processes):
        # If this runs as root, packages run as another user.
        folder.chmod(0o755)
        data, repository, packages = folder / "data", folder / "repository", folder / "packages"
        (data / "out").mkdir(parents=True)
        (data / "out").chmod(0o777)
        (data / "hello.txt").write_text("hello")
        run("git", "init", "-q", repository)
        who = ["-c", "user.name=a", "-c", "user.email=a@example.com"]
        run("git", "-C", repository, *who, "commit", "-q", "--allow-empty", "-m", "the first commit")
        # Git does not read a repository of another user by default.
        run("chown", "-R", "nobody", repository) if IS_ROOT else None
        file = folder / "doorward.yaml"
        file.write_text(configuration(packages, data, repository))
        began = time.monotonic()
        lock(binary, file)
        print(f"  locked in {time.monotonic() - began:.1f} s", flush=True)
        text = (folder / "doorward.packages.lock").read_text()
        with serving(binary, processes, folder, "first", file) as gateway:
            check_tools(gateway, data, repository)
        # Nothing changes, and nothing is requested again.
        nowhere = {"DOORWARD_NPM_REGISTRY": NOWHERE, "DOORWARD_PYPI_INDEX": NOWHERE}
        lock(binary, file, environment=nowhere)
        assert (folder / "doorward.packages.lock").read_text() == text, "locking again changed the lock file"
        lock(binary, file, "--check", environment=nowhere)
        os.environ.update({name: NOWHERE for name in ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]})
        with serving(binary, processes, folder, "offline", file) as gateway:
            check_tools(gateway, data, repository)
        # Change one byte.
        changed = next(packages.glob("trees/*/node_modules/@modelcontextprotocol/server-memory/dist/index.js"))
        changed.chmod(0o644)
        changed.write_text(changed.read_text() + "\n")
        said = lock(binary, file, "--check", fails=True)
        assert "server-memory/dist/index.js' has changed" in said, said
        print("packages: all good")


if __name__ == "__main__":
    try:
        main()
    except Missing as missing:
        sys.exit(f"missing: {missing}")
