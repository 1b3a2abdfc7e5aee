#!/usr/bin/env python3
"""The official conformance suite, pinned, against servers and clients behind the gateway.

    tests/conformance/run.py                       everything below, with the fixtures of this repository
    tests/conformance/run.py --url URL --requirements 2026-07-28      a server that is already running

*Server leg*: each fixture is tested twice, directly and through `/mcp/<server>`, and the results are compared by
check id and outcome, not by the suite's exit code. *Across eras*: the tests of one era run against a fixture that
supports only the other; each check that cannot pass is listed in `IMPOSSIBLE` with its reason. *Client leg*: the
suite acts as the server and tests what a client sends through the gateway.

Fails if a check passes directly but not through the gateway, if a check fails across the eras that is not in
the list, or if a check in the list passes.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections import Counter
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from peers import PEERS, Missing, Processes, free_port, gateway_binary, install_node, install_rust
from suite import Suite

sys.path.insert(0, str(HERE.parent / "oidc/python"))

from browser import visit

CATALOGUE = HERE / "catalogue.json"
MODERN, HANDSHAKE = "2026-07-28", "2025-11-25"

NAMED = "a handshake server's request has no name that could become the key of inputRequests"
UNDECLARED = "a handshake server says in a result's text what it misses, not by -32021"
TASKLESS = "the SDK has no tasks: the server fails this direct, too"
WAITED = "for a client that does not know tasks, the gateway waits for the task's result"
# Across the eras: (fixture, scenario and check as patterns, why it cannot pass).
IMPOSSIBLE = [
    ("ts2|rmcp", "input-required-result-basic-elicitation sep-2322-elicitation-incomplete", NAMED),
    ("ts2|rmcp", "input-required-result-ignore-extra-params sep-2322-ignore-unexpected-params", NAMED),
    ("ts2", "server-stateless sep-2575-(server-rejects-undeclared-capability|missing-capability-http-400)", UNDECLARED),
    ("ts2|rmcp", "tasks-.*", TASKLESS),
    ("ts1-tasks", "tasks-required-task-error sep-2663-server-returns-missing-capability-when-required", WAITED),
]

# The tasks extension in front of a server with the tasks of 2025-11-25.
TASK_SCENARIOS = [
    "tasks-capability-negotiation", "tasks-dispatch-and-envelope", "tasks-lifecycle", "tasks-mrtr-composition",
    "tasks-mrtr-input", "tasks-request-headers", "tasks-request-state-removal", "tasks-required-task-error",
    "tasks-wire-fields",
]

# The same for the client leg.
CLIENT_IMPOSSIBLE = [
    ("basic-cimd cimd-client-id-used", "the gateway's document is at its own URL, which is not public here"),
    ("scope-step-up scope-step-up-escalation", "the second request is another user's first, for the gateway has consented before"),
]

# What the client leg tests: what a client sends through the gateway, and how the gateway authenticates at servers
# that require a token.
CLIENT_SCENARIOS = {
    HANDSHAKE: ["initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry", "json-schema-2020-12-preservation"],
    MODERN: [
        "tools_call", "request-metadata", "sep-2322-client-request-state", "http-standard-headers", "http-custom-headers",
        "http-invalid-tool-headers", "json-schema-ref-no-deref", "json-schema-2020-12-preservation",
    ],
}
AUTHORIZATION = [
    "metadata-default", "metadata-var1", "metadata-var2", "metadata-var3", "metadata-issuer-mismatch", "basic-cimd",
    "iss-normalized", "iss-not-advertised", "iss-supported", "iss-supported-missing", "iss-unexpected", "iss-wrong-issuer",
    "resource-mismatch", "pre-registration", "authorization-server-migration", "offline-access-scope",
    "offline-access-not-supported", "scope-from-www-authenticate", "scope-from-scopes-supported",
    "scope-omitted-when-undefined", "scope-retry-limit", "scope-step-up", "token-endpoint-auth-basic",
    "token-endpoint-auth-none", "token-endpoint-auth-post",
]
EXTENSIONS = ["auth/client-credentials-basic", "auth/client-credentials-jwt"]
CLIENT_SCENARIOS[MODERN] += [f"auth/{name}" for name in AUTHORIZATION] + EXTENSIONS


def passed(found):
    return sum(status == "SUCCESS" for outcomes in found.values() for status, _ in outcomes)


def failed(found):
    """The checks that did not pass, with their messages."""
    bad = ("FAILURE", "WARNING")
    return {key: next(said for status, said in all if status in bad) for key, all in found.items() if any(s in bad for s, _ in all)}


def start_gateway(processes, binary, servers):
    """Starts a gateway in front of these servers, by name and URL. Returns its address."""
    config = processes.folder / f"{'-'.join(servers)}.json"
    config.write_text(json.dumps({"servers": {name: {"url": url} for name, url in servers.items()}}))
    port = processes.listening([binary, "serve", "--config", config, "--listen", "127.0.0.1:{port}", "--admin", "off", "--store", "none"], f"{config.stem}.log")
    return f"http://127.0.0.1:{port}"


def same(suite, name, direct_url, through_url, requirements):
    """Whether everything that passes directly also passes through the gateway."""
    direct = suite.checks("server", "--url", direct_url, "--requirements", requirements)
    through = suite.checks("server", "--url", through_url, "--requirements", requirements)
    good = True
    for key in sorted({*direct, *through}):
        before, after = (Counter(status for status, _ in found.get(key, [])) for found in (direct, through))
        if before != after:
            worse = before["SUCCESS"] > after["SUCCESS"]
            good &= not worse
            print(f"    {'WORSE' if worse else 'differs'}: {key}: {dict(before)} -> {dict(after)} {failed(through).get(key, '')[:300]}")
    print(f"  {name}, {requirements}: {passed(direct)} checks pass direct, {passed(through)} through")
    return good


def across(fixture, found, requirements):
    """Whether everything that can pass does pass with a server of the other era."""
    good, wrong = True, failed(found)
    reasons = Counter()
    for key, said in wrong.items():
        reason = next((why for who, what, why in IMPOSSIBLE if re.fullmatch(who, fixture) and re.fullmatch(what, key)), None)
        reasons[reason] += 1
        if reason is None:
            good = False
            print(f"    WRONG: {key}: {said[:300]}")
    for who, what, why in IMPOSSIBLE:
        if requirements == MODERN and re.fullmatch(who, fixture) and not any(re.fullmatch(what, key) for key in wrong):
            good = False
            print(f"    STALE: {what} passes, though listed as impossible: {why}")
    print(f"  {fixture} of the other era, {requirements}: {passed(found)} checks pass")
    for reason, count in reasons.items():
        print(f"    {count} cannot: {reason}")
    return good


def server_leg(suite, processes, gateway):
    node, rust = install_node(), install_rust()
    typescript = lambda eras: ["node", node / "suite2.mjs", eras, "{port}", CATALOGUE]
    commands = {
        "rmcp": [rust / "server", "both", "http", "{port}"],
        "rmcp-modern": [rust / "server", "modern", "http", "{port}"],
        "rmcp-handshake": [rust / "server", HANDSHAKE, "http", "{port}"],
        "ts2": typescript("both"),
        "ts2-modern": typescript("modern"),
        "ts2-handshake": typescript("legacy"),
        "ts1-tasks": ["node", node / "tasks1.mjs", "http", "{port}"],
    }
    urls = {name: f"http://127.0.0.1:{processes.listening(command, f'{name}.log')}/mcp" for name, command in commands.items()}
    base = start_gateway(processes, gateway, urls)
    print("direct, and through the gateway")
    good = True
    for name in ("rmcp", "ts2"):
        for requirements in (HANDSHAKE, MODERN):
            good &= same(suite, name, urls[name], f"{base}/mcp/{name}", requirements)
    print("across the eras")
    for name in ("rmcp", "ts2"):
        for era, requirements in (("modern", HANDSHAKE), ("handshake", MODERN)):
            found = suite.checks("server", "--url", f"{base}/mcp/{name}-{era}", "--requirements", requirements)
            good &= across(name, found, requirements)
    found = {}
    for scenario in TASK_SCENARIOS:
        found |= suite.checks("server", "--url", f"{base}/mcp/ts1-tasks", "--scenario", scenario)
    return good & across("ts1-tasks", found, MODERN)


def client_leg(suite, gateway):
    print("the client leg")
    good = True
    command = f"{sys.executable} {Path(__file__).resolve()} --gateway {gateway} --before"
    for revision, scenarios in CLIENT_SCENARIOS.items():
        total = 0
        for scenario in scenarios:
            # Extensions do not belong to a revision.
            of = [] if scenario in EXTENSIONS else ["--spec-version", revision]
            found = suite.checks("client", "--command", command, "--scenario", scenario, *of)
            total += passed(found)
            wrong = failed(found)
            for key, said in wrong.items():
                reason = next((why for what, why in CLIENT_IMPOSSIBLE if what == key), None)
                good &= reason is not None
                print(f"    cannot: {key}: {reason}" if reason else f"    WRONG: {revision} {key}: {said[:300]}")
            for key, reason in CLIENT_IMPOSSIBLE:
                if key in found and key not in wrong:
                    good = False
                    print(f"    WRONG: {key} passes, and stands in the list: {reason}")
        print(f"  {revision}: {total} checks of {len(scenarios)} scenarios pass")
    return good


CALL = {
    "jsonrpc": "2.0", "id": 1, "method": "tools/call",
    "params": {"name": "suite__test-tool", "arguments": {}, "_meta": {
        "io.modelcontextprotocol/protocolVersion": MODERN,
        "io.modelcontextprotocol/clientInfo": {"name": "tester", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {"elicitation": {"url": {}}},
    }},
}


def protected_client(processes, gateway, url):
    """Uses the suite's server, which requires a token, through a gateway whose users give consent."""
    known = json.loads(os.environ.get("MCP_CONFORMANCE_CONTEXT", "{}"))
    known = {{"private_key_pem": "private_key"}.get(name, name): known[name] for name in known if name in ("client_id", "client_secret", "private_key_pem")}
    if known:
        # Configured by hand, for the authorization server that the operator knows.
        known["issuer"] = resource_metadata(url)["authorization_servers"][0]
    if "client-credentials" in os.environ["MCP_CONFORMANCE_SCENARIO"]:
        # For the gateway itself, whoever calls.
        config = processes.folder / "own.json"
        config.write_text(json.dumps({"servers": {"suite": {"url": url, "credential": {"client": known}}}}))
        command = [gateway, "serve", "--config", config, "--listen", "127.0.0.1:{port}", "--admin", "off", "--store", "none"]
        base = f"http://127.0.0.1:{processes.listening(command, 'own.log')}"
        return 0 if "content" in post(f"{base}/mcp", CALL, None).get("result", {}) else 1
    # The suite's authorization server uses a different port.
    delegated = {"same_host": True, **known}
    config = processes.folder / "protected.json"
    store = f"sqlite:{processes.folder}/protected.db"
    config.write_text(json.dumps({
        "servers": {"suite": {"url": url, "delegated": delegated}},
        "store": store, "store_key": "a master key of thirty-two characters",
    }))
    admin = free_port()
    key = subprocess.run([gateway, "keys", "create", "--user", "tester", "--admin", "--store", store], capture_output=True, text=True, check=True)
    key = key.stdout.strip()
    command = [gateway, "serve", "--config", config, "--listen", "127.0.0.1:{port}", "--admin", f"127.0.0.1:{admin}"]
    base = f"http://127.0.0.1:{processes.listening(command, 'protected.log')}"
    # First connect the gateway itself, so that it can list the tools, then a user.
    connect = [gateway, "credentials", "connect", "suite", "--admin-url", f"http://127.0.0.1:{admin}", "--key", key]
    let_in = lambda: consent(subprocess.run(connect, capture_output=True, text=True, check=True).stdout.strip(), base)
    let_in()
    request = json.loads(json.dumps(CALL))
    gone = False
    for _ in range(6):
        answer = post(f"{base}/mcp", request, key)
        if "error" in answer and not gone:
            # The gateway's own token has been revoked as well: its operator gives consent again, once.
            gone = True
            let_in()
            time.sleep(0.5)
            continue
        result = answer.get("result", {})
        if result.get("resultType") != "input_required":
            print(json.dumps(answer))
            return 0 if "content" in result else 1
        consent(result["inputRequests"]["consent"]["params"]["url"], base)
        request["params"] |= {"requestState": result["requestState"], "inputResponses": {"consent": {"action": "accept"}}}
    return 1


def consent(link, base):
    page = visit(link, f"{base}/oauth/connected", arrive=True)
    if "is connected" not in page:
        raise SystemExit(page)


def post(url, message, key):
    headers = {
        "content-type": "application/json", "accept": "application/json, text/event-stream",
        "mcp-protocol-version": MODERN, "mcp-method": message["method"], "mcp-name": message["params"]["name"],
    }
    if key:
        headers["authorization"] = f"Bearer {key}"
    text = urllib.request.urlopen(urllib.request.Request(url, json.dumps(message).encode(), headers), timeout=60).read().decode()
    lines = [line.removeprefix("data: ") for line in text.splitlines() if line.startswith("data: ")]
    return json.loads(lines[-1] if lines else text)


def resource_metadata(url):
    place = urllib.parse.urlsplit(url)
    where = f"{place.scheme}://{place.netloc}/.well-known/oauth-protected-resource{place.path}"
    return json.loads(urllib.request.urlopen(where, timeout=10).read())


def client(processes, gateway, url):
    """Runs the suite's client against a gateway in front of the suite's server."""
    if os.environ.get("MCP_CONFORMANCE_SCENARIO", "").startswith("auth/"):
        return protected_client(processes, gateway, url)
    base = start_gateway(processes, gateway, {"suite": url})
    time.sleep(0.5)
    return subprocess.run(["node", str(PEERS / "node/suite-client2.mjs"), f"{base}/mcp/suite"], env=os.environ).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gateway", help="the binary to test; built when absent")
    parser.add_argument("--url", help="a server that runs already, to be compared direct and through the gateway")
    parser.add_argument("--requirements", default=MODERN, help="the revision to compare it by")
    parser.add_argument("--leg", choices=["server", "client"], help="only this one")
    parser.add_argument("--before", metavar="URL", help="be the client of the client leg, before this server")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="doorward-conformance-"))
    processes = Processes(folder)
    good = False
    try:
        gateway = gateway_binary(options.gateway)
        if options.before:
            return client(processes, gateway, options.before)
        suite = Suite()
        if options.url:
            base = start_gateway(processes, gateway, {"server": options.url})
            good = same(suite, options.url, options.url, f"{base}/mcp/server", options.requirements)
        else:
            good = options.leg == "client" or server_leg(suite, processes, gateway)
            if options.leg != "server":
                install_node()
                good &= client_leg(suite, gateway)
    except Missing as missing:
        print(f"the suite cannot be run here: {missing}", file=sys.stderr)
    finally:
        processes.stop()
        if good or options.before:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            print(f"logs: {folder}")
    return 0 if good else 1


sys.exit(main())
