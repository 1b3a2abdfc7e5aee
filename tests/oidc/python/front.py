"""The gateway as an authorization server in front of a real OpenID provider that has one client: the setup for tests
of logins."""

import http.server
import json
import os
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from browser import visit
from peers import PEERS, copy_new, free_port, need, one_at_a_time, run, up_to_date, wait_for_port

HERE = Path(__file__).resolve().parent.parent

POLICIES = """
@id("staff")
permit (principal in Team::"real:staff", action in Action::"use", resource)
when { principal == User::"real:alice" && context.authentication == "token" && context has agent };
@id("no-slow")
forbid (principal, action, resource == Tool::"sample/slow");
"""


@one_at_a_time
def install_node():
    need("node", "the provider runs on Node 20 or newer")
    npm = need("npm", "the provider comes from the npm registry")
    folder = PEERS / "oidc"
    folder.mkdir(parents=True, exist_ok=True)
    fresh, remember = up_to_date(folder, HERE / "node/package.json", HERE / "node/package-lock.json")
    for file in (HERE / "node").glob("*.*"):
        copy_new(file, folder)
    if not fresh:
        run(npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", cwd=folder)
        remember()
    return folder


def start_provider(processes, node, form, *callbacks):
    port = free_port()
    provider = processes.start(["node", node / "provider.mjs", port, form, *callbacks], f"provider-{form}.log")
    wait_for_port(port, provider, "the provider")
    return f"http://127.0.0.1:{port}"


class Front:
    """A provider with one client, and a gateway that is an authorization server in front of it."""

    def __init__(self, processes, folder, binary, node, servers=None, takes_documents=True):
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
            "metadata_documents": takes_documents,
            "document_hosts": ["localhost"],
            "clients": {"suite": {"name": "The suite", "redirect_uris": ["http://127.0.0.1/callback"]}},
        }
        config = {
            "identity": {"authorization_server": own, "scopes": ["read"]},
            "store": f"sqlite:{folder}/front.db",
            "store_key": "a master key of thirty-two characters",
            "policy": {"files": ["staff.cedar"]},
            "servers": {"sample": {"sample": True}, **(servers or {})},
        }
        (folder / "front.yaml").write_text(json.dumps(config))
        command = [binary, "serve", "--config", folder / "front.yaml", "--listen", f"127.0.0.1:{self.port}"]
        environment = {**os.environ, "SSL_CERT_FILE": str(authority)}
        gateway = processes.start([*command, "--admin", "off"], "gateway-front.log", env=environment)
        wait_for_port(self.port, gateway, "the gateway")
        self.url = f"{self.origin}/mcp"

    def refuses_documents(self):
        """None of these is a valid client: the user gets an error in good time and is redirected nowhere."""
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
        """Runs the official suite against the authorization server, while a browser follows its redirects."""
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


# Client metadata documents that differ from a valid one in these members, and some that are not documents.
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
    """Serves a client metadata document over TLS. Returns the certificate of the authority that signed its
    certificate."""
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
