#!/usr/bin/env python3
"""Agents on the official SDKs that obey everything they read, in each era, in front of servers on an official SDK
that return injected text: without a person's approval, no call that sends, writes, pays or reads secrets gets
through. A day's work that only reads needs no approval. Prints a line for each agent."""

import argparse
import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from gateway import Gateway  # noqa: E402
from peers import (  # noqa: E402
    free_port, gateway_binary, install_node, install_sdk, of_each_era, printed, run, running, wait_for_port,
)

RULES = {
    "web": {"brings": ["untrusted"]},
    "mail": {"brings": ["untrusted"], "tools": {"send": {"brings": [], "sink": True}}},
    "tickets": {"brings": ["untrusted"]},
    "files": {"brings": ["untrusted"], "tools": {"write": {"brings": [], "sink": True}}},
    "bank": {"tools": {"pay": {"sink": True}}},
    "vault": {"brings": ["secret"], "sink": True},
}
PLACES = ["web__get", "web__fail", "mail__inbox", "tickets__show", "files__names"]
EXPECTED = len(PLACES) * 2 * 4


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gateway", help="the binary to test (default: built from this checkout)")
    binary = gateway_binary(options.parse_args().gateway)
    node, sdk = install_node(), install_sdk(1)
    clients = of_each_era(node, "obedient")
    good = True
    with running() as (folder, processes):
        reached = folder / "reached"
        servers = {}
        for name, rules in RULES.items():
            port = free_port()
            command = [sdk, HERE / "python/injected.py", name, str(port), reached]
            server = processes.start(command, f"{name}.log")
            wait_for_port(port, server, name)
            servers[name] = {"url": f"http://127.0.0.1:{port}/mcp", **rules}
        config = {
            "policy": {"files": ["policies"]},
            "flow": {"after_start": "clean"},
            "servers": servers,
        }
        for name in ("open", "untrusted-sinks"):
            run(binary, "policy", "example", name, "--output", folder / "policies")
        gateway = Gateway(binary, processes, folder, "gateway", json.dumps(config))
        url = f"http://127.0.0.1:{gateway.port}/mcp"
        obeys = [[tool, {"kind": kind}] for tool in PLACES for kind in ("words", "plain")]
        reads = [["bank__balance", {"kind": "plain"}]] * 50
        for at, (name, command) in enumerate(clients.items()):
            key = gateway.key("--user", f"ann{at}")
            began, problems = time.monotonic(), []
            for what, expected in ((reads, 0), (obeys, EXPECTED)):
                seen, said = printed([*command, url], KEY=key, READS=json.dumps(what))
                if seen is None:
                    problems.append(said)
                    continue
                if (seen["read"], seen["obeyed"], seen["held"]) != (len(what), expected, expected):
                    problems.append(str(seen)[:1500])
                elif seen["done"] or seen["other"]:
                    problems.append(str(seen)[:1500])
            if reached.exists():
                problems.append(f"reached {reached.read_text().split()}")
                reached.unlink()
            good &= not problems
            outcome = "; ".join(problems) or f"{EXPECTED} calls held, 0 reached; ok, {time.monotonic() - began:.1f} s"
            print(f"{name:24} {outcome}", flush=True)
        if not good:
            print((folder / "gateway.log").read_text()[-3000:])
    sys.exit(not good)


if __name__ == "__main__":
    main()
