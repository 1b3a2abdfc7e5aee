#!/usr/bin/env python3
"""Clients on the official SDKs whose call waits for approval, in each era: the client receives the link (an
elicitation in URL mode), a person opens it, signs in with an API key and approves, and the call runs once. Prints a
line for each client."""

import argparse
import html.parser
import http.cookiejar
import http.server
import json
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))
from gateway import Gateway  # noqa: E402
from peers import gateway_binary, install_node, of_each_era, printed, running  # noqa: E402

POLICIES = """permit (principal, action in Action::"use", resource);
@id("sums") @reason("Adding needs a lead") @approval("role:lead")
forbid (principal, action == Action::"call", resource == Tool::"sample/add");
"""


class Hidden(html.parser.HTMLParser):
    """Reads the sealed form of the page."""

    def __init__(self, page):
        super().__init__()
        self.request = None
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        named = dict(attributes)
        if tag == "input" and named.get("name") == "request":
            self.request = named["value"]


class Person:
    """An approver with their own browser. They receive links over HTTP."""

    def __init__(self, key):
        self.key, self.decided, self.failed = key, [], []
        person = self

        class Door(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                query = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(self.path).query))
                if query.get("waits"):
                    person.decide(query["url"])
                else:
                    # The client responds that its user has opened the page, and the call waits for the decision.
                    threading.Timer(0.5, person.decide, [query["url"]]).start()
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"

    def decide(self, url):
        try:
            # Browsers accept `Secure` cookies on loopback without TLS; Python's cookie jar needs this setting.
            policy = http.cookiejar.DefaultCookiePolicy(secure_protocols=("http", "https"))
            cookies = http.cookiejar.CookieJar(policy)
            browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))

            def send(**form):
                data = urllib.parse.urlencode(form).encode() if form else None
                return browser.open(url, data, timeout=20).read().decode()

            assert "API key" in send()
            page = send(key=self.key, decision="sign_in")
            assert "Adding needs a lead" in page and "add" in page, page
            done = send(request=Hidden(page).request, decision="approve")
            assert "You have approved the call" in done, done
            self.decided.append(url)
        except (AssertionError, OSError) as error:
            body = error.read().decode() if isinstance(error, urllib.error.HTTPError) else ""
            self.failed.append(f"{url}: {error} {body[-500:]}")


def main():
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--gateway", help="the binary to test (default: built from this checkout)")
    binary = gateway_binary(options.parse_args().gateway)
    node = install_node()
    clients = of_each_era(node, "approval")
    good = True
    with running() as (folder, processes):
        (folder / "hold.cedar").write_text(POLICIES)
        config = {"policy": {"files": ["hold.cedar"]}, "servers": {"sample": {"sample": True}}}
        gateway = Gateway(binary, processes, folder, "gateway", json.dumps(config))
        person = Person(gateway.key("--user", "dana", "--role", "lead"))
        url = f"http://127.0.0.1:{gateway.port}/mcp/sample"
        for at, (name, command) in enumerate(clients.items()):
            key = gateway.key("--user", f"ann{at}")
            began, problems = time.monotonic(), []
            seen, said = printed([*command, url], KEY=key, PERSON=person.url)
            if seen is None:
                seen = {"opened": [], "calls": 0, "sum": None}
                problems.append(said)
            if seen["sum"] != "23":
                problems.append(f"sum {seen['sum']}")
            if len(seen["opened"]) != 1 or seen["opened"] != person.decided[-1:]:
                problems.append(f"opened {seen['opened']}, decided {person.decided[-1:]}")
            if seen["calls"] != (1 if command[-1] == "modern" else 2):
                problems.append(f"{seen['calls']} calls")
            approval = {}
            if seen["opened"]:
                approval = json.loads(gateway.told("approvals", "show", seen["opened"][0].rsplit("/", 1)[1], "--json"))
            if approval.get("state") != "used" or approval.get("caller") != f"ann{at}":
                problems.append(f"approval {approval}")
            problems += person.failed
            person.failed = []
            good &= not problems
            outcome = "; ".join(problems) or f"ok, {time.monotonic() - began:.1f} s"
            print(f"{name:24} {outcome}", flush=True)
        if not good:
            print((folder / "gateway.log").read_text()[-3000:])
    sys.exit(not good)


if __name__ == "__main__":
    main()
