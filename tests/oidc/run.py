#!/usr/bin/env python3
"""A real OpenID provider, the gateway as its resource server, and the official SDKs' clients, which know nothing but
the gateway's URL and log in by themselves. Then the same clients before a provider that knows neither registration nor
resources, behind the gateway's own authorization server: registered, known by a document, and once with Chromium; and
what the official suite has for authorization servers. Needs Node, Python, openssl and Chromium; installs all else."""

import argparse
import http.server
import json
import os
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE / "python"), str(HERE.parent / "conformance")]
from browser import visit  # noqa: E402
from peers import PEERS, Missing, Processes, free_port, gateway_binary, install_sdk, need, run, up_to_date, wait_for_port  # noqa: E402
from suite import Suite  # noqa: E402

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


def start_provider(processes, node, form, callback=""):
    port = free_port()
    provider = processes.start(["node", node / "provider.mjs", port, form, callback], f"provider-{form}.log")
    wait_for_port(port, provider, "the provider")
    return f"http://127.0.0.1:{port}"


class World:
    """A provider of one form, and a gateway that trusts it."""

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


class Front:
    """A provider that knows one client, and a gateway that is an authorization server in front of it."""

    def __init__(self, processes, folder, binary, node):
        self.port, documents = free_port(), free_port()
        self.origin = f"http://127.0.0.1:{self.port}"
        provider = start_provider(processes, node, "plain", f"{self.origin}/oauth/callback")
        self.document = f"https://localhost:{documents}/client.json"
        authority = serve_document(folder, documents, self.document)
        (folder / "staff.cedar").write_text(POLICIES)
        own = {
            "name": "real",
            "provider": {
                "issuer": provider, "client_id": "doorward", "client_secret": "doorward-secret-of-the-provider",
                "scopes": ["openid", "offline_access", "groups"],
            },
            "document_hosts": ["localhost"],
            "clients": {"suite": {"name": "The suite", "redirect_uris": ["http://127.0.0.1/callback"]}},
        }
        config = {
            "identity": {"authorization_server": own, "scopes": ["read"]},
            "store": f"sqlite:{folder}/front.db",
            "store_key": "a master key of thirty-two characters",
            "policy": {"files": ["staff.cedar"]},
            "servers": {"sample": {"sample": True}},
        }
        (folder / "front.yaml").write_text(json.dumps(config))
        command = [binary, "serve", "--config", folder / "front.yaml", "--listen", f"127.0.0.1:{self.port}"]
        environment = {**os.environ, "SSL_CERT_FILE": str(authority)}
        gateway = processes.start([*command, "--admin", "off"], "gateway-front.log", env=environment)
        wait_for_port(self.port, gateway, "the gateway")
        self.url = f"{self.origin}/mcp"

    def refuses_documents(self):
        """None of these is a client; whoever asks is told so in good time, and sent nowhere."""
        bad = []
        for path in [*WRONG_DOCUMENTS, *NO_DOCUMENTS]:
            query = urllib.parse.urlencode({
                "client_id": self.document.replace("/client.json", path), "redirect_uri": "http://127.0.0.1:7399/callback",
                "response_type": "code", "code_challenge": "x" * 43, "code_challenge_method": "S256",
            })
            began = time.monotonic()
            try:
                told = urllib.request.urlopen(f"{self.origin}/oauth/authorize?{query}", timeout=20).status
            except urllib.error.HTTPError as answer:
                told = answer.code
            if told != 400 or time.monotonic() - began > 10:
                bad.append(f"{path}: {told}")
        print(f"{'documents that are none':36} {'ok' if not bad else '; '.join(bad)}")
        return not bad

    def examine(self, suite):
        """What the official suite finds of the authorization server, while a browser goes where it says."""
        port = free_port()
        with tempfile.TemporaryDirectory() as out:
            command = [suite.node, suite.cli, "authorization", "--url", self.origin, "--client-id", "suite", "-p", port, "-o", out]
            running = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            said = []
            for line in running.stdout:
                said.append(line)
                if line.startswith(f"{self.origin}/oauth/authorize?"):
                    arrived = visit(line.strip(), f"http://127.0.0.1:{port}/callback")
                    urllib.request.urlopen(arrived, timeout=10).read()
            running.wait(timeout=60)
            checks = [check for file in sorted(Path(out).rglob("checks.json")) for check in json.loads(file.read_text())]
        good = {check["id"]: check["status"] for check in checks}
        fine = running.returncode == 0 and len(good) >= 3 and set(good.values()) == {"SUCCESS"}
        print(f"{'the official suite':36} {'ok' if fine else good}")
        if not fine:
            print("".join(said)[-3000:])
        return fine


# Documents that differ in this from one that is good; and others that are none.
WRONG_DOCUMENTS = {
    "/other.json": {"client_id": "https://localhost/other.json"},
    "/nameless.json": {"client_name": ""},
    "/secret.json": {"client_secret": "x"},
    "/shared.json": {"token_endpoint_auth_method": "client_secret_basic"},
    "/nowhere.json": {"redirect_uris": []},
    "/script.json": {"redirect_uris": ["javascript:alert(1)"]},
    "/inside.json": {"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": "http://169.254.169.254/keys"},
}
NO_DOCUMENTS = ["/elsewhere.json", "/slow.json", "/text.json", "/huge.json"]


def serve_document(folder, port, url):
    """Serves a client's metadata document over TLS; returns the certificate of who vouches for it."""
    key, authority = folder / "documents.key", folder / "documents.pem"
    run(
        "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
        "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=critical,CA:false",
        "-keyout", key, "-out", authority,
    )
    document = json.dumps({
        "client_id": url, "client_name": "tester", "redirect_uris": ["http://127.0.0.1/callback", "http://127.0.0.1:7399/callback"],
        "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"], "token_endpoint_auth_method": "none",
    }).encode()

    class Document(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            good = json.loads(document) | {"client_id": url.replace("/client.json", self.path)}
            body = json.dumps(good | WRONG_DOCUMENTS.get(self.path, {})).encode()
            if self.path == "/elsewhere.json":
                self.send_response(302)
                self.send_header("location", url)
                self.end_headers()
                return
            if self.path == "/slow.json":
                time.sleep(30)
            body = {"/text.json": b"<html>", "/huge.json": b" " * (10 << 20) + body}.get(self.path, body)
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            try:
                self.wfile.write(body)
            except OSError:
                pass

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Document)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return authority


def bare_challenge(url):
    request = urllib.request.Request(url, b"{}", {"content-type": "application/json"})
    try:
        urllib.request.urlopen(request)
    except urllib.error.HTTPError as answer:
        return answer.code, answer.headers.get("www-authenticate")
    raise SystemExit("the gateway lets everybody in")


def log_in(name, command, url, more=None, client=None):
    """Lets a client log in and use a tool; says what was wrong."""
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
                # A token that is for nobody is not for the gateway, however well the login went.
                done = subprocess.run([str(part) for part in [*command, world.url]], capture_output=True, timeout=60)
                refused = "it is for somebody else" in (folder / f"gateway-{form}.log").read_text()
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
