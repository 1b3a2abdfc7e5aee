"""Run by run.py with the validator installed: the gateway as a registry, as a client of one, and both."""

import http.server
import json
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

import jsonschema
import yaml
from openapi_core import OpenAPI
from openapi_core.exceptions import OpenAPIError
from openapi_core.testing import MockRequest, MockResponse

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]
from gateway import Gateway  # noqa: E402
from peers import running, until  # noqa: E402

OFFICIAL = "io.modelcontextprotocol.registry/official"
# Statuses that the description does not list, although any server may return them.
UNDESCRIBED = {400, 401, 405}
POLICIES = """
permit (principal == User::"alice", action in Action::"use", resource in Server::"tickets");
permit (principal == User::"bob", action in Action::"use", resource);
"""


class Description:
    """The official description: validates requests and responses against it, and counts them."""

    def __init__(self, folder):
        document = yaml.safe_load((folder / "openapi-v0.1.snapshot.yaml").read_text())
        # It has a member that OpenAPI does not allow.
        del document["$id"]
        self.api = OpenAPI.from_dict(document)
        self.schema = json.loads((folder / "server.schema.snapshot.json").read_text())
        self.requests = self.answers = self.entries = 0
        self.answered = set()

    def request(self, method, target):
        path, _, query = target.partition("?")
        # The description permits each parameter only once.
        arguments = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
        return MockRequest("http://registry.example", method, path, args=arguments, content_type=None)

    def check_request(self, method, target):
        self.api.validate_request(self.request(method, target))
        self.requests += 1

    def check_answer(self, method, target, status, content_type, body):
        answer = MockResponse(body, status, content_type=content_type.split(";")[0])
        self.api.validate_response(self.request(method, target), answer)
        self.answers += 1
        self.answered.add((method, status))
        found = json.loads(body)
        for entry in found.get("servers", [found] if "server" in found else []):
            jsonschema.validate(entry["server"], self.schema)
            self.entries += 1


class Client:
    """A caller of a gateway's registry that validates every response against the description."""

    def __init__(self, gateway, description, key=None):
        self.gateway, self.description, self.key = gateway, description, key

    def ask(self, target, method="GET"):
        url = f"http://127.0.0.1:{self.gateway.port}{target}"
        body = b"{}" if method in ("POST", "PUT") else None
        request = urllib.request.Request(url, method=method, data=body)
        request.add_header("content-type", "application/json")
        if self.key:
            request.add_header("authorization", f"Bearer {self.key}")
        try:
            answer = urllib.request.urlopen(request, timeout=10)
        except urllib.error.HTTPError as error:
            answer = error
        body, kind = answer.read(), answer.headers["content-type"]
        if answer.status in UNDESCRIBED:
            assert kind == "application/json" and "error" in json.loads(body), (target, kind, body)
            self.description.answered.add((method, answer.status))
        else:
            self.description.check_answer(method, target, answer.status, kind, body)
        return answer.status, json.loads(body)

    def names(self, query=""):
        """The names on all pages."""
        names, cursor, pages = [], "", 0
        while cursor is not None:
            more = f"&cursor={urllib.parse.quote(cursor)}" if cursor else ""
            status, page = self.ask(f"/v0.1/servers?limit=2{query}{more}")
            assert status == 200, page
            assert page["metadata"]["count"] == len(page["servers"]) <= 2, page["metadata"]
            names += [entry["server"]["name"] for entry in page["servers"]]
            cursor, pages = page["metadata"].get("nextCursor"), pages + 1
        assert pages == max(1, -(-len(names) // 2)), (pages, names)
        return names


def short(names):
    return [name.split("/")[1] for name in names]


def as_server(binary, processes, folder, description):
    """Validates every response to callers that may see all, some or none of the entries."""
    (folder / "roles.cedar").write_text(POLICIES)
    config = f"""
public_url: https://mcp.example.com
allowed_hosts: [127.0.0.1]
registry: {{public: [support]}}
policy: {{files: ['{folder}/roles.cedar']}}
servers:
  tickets: {{sample: true, owner: team-a}}
  payroll: {{sample: true}}
  mail: {{sample: true}}
  hidden: {{sample: true, disabled: true}}
portals:
  support: {{servers: [tickets], description: '{"For the support team. " * 10}'}}
  wages: {{servers: [payroll]}}
"""
    gateway = Gateway(binary, processes, folder, "server", config)
    key = lambda name, *more: gateway.told("keys", "create", "--user", name, *more).strip()  # noqa: E731
    alice, bob, carol = (Client(gateway, description, key(name)) for name in ("alice", "bob", "carol"))
    admin = key("root", "--admin")
    for client in (alice, bob, carol):
        until("the key is known", lambda client=client: client.ask("/v0.1/servers")[0] == 200)
    until("the catalogue is read", lambda: len(bob.names()) == 5)
    everything = ["mail", "payroll", "support", "tickets", "wages"]
    assert short(bob.names()) == everything, bob.names()
    assert short(alice.names()) == ["support", "tickets"], alice.names()
    assert carol.names() == []

    act = lambda name, step, body: operate(gateway, admin, f"servers/{name}/{step}", body)  # noqa: E731
    before = bob.ask("/v0.1/servers?search=mail")[1]["servers"][0]["_meta"][OFFICIAL]["updatedAt"]
    act("mail", "deprecate", {"note": "It has moved. " * 60, "successor": "tickets"})
    since = f"&updated_since={urllib.parse.quote(before)}"
    until("it is deprecated", lambda: status_of(bob, "mail")["status"] == "deprecated")
    assert len(status_of(bob, "mail")["statusMessage"]) <= 500
    for query, expected in [
        ("&search=PAY", ["payroll"]),
        ("&search=com.example.mcp/", everything),
        ("&search=nothing", []),
        ("&version=latest", everything),
        ("&version=9.9.9", []),
        (since + "&search=mail", ["mail"]),
        ("&updated_since=2999-01-01T00:00:00Z", []),
        ("&include_deleted=true", everything),
        ("&include_deleted=false", everything),
        ("&unknown=1", everything),
    ]:
        assert short(bob.names(query)) == expected, (query, bob.names(query))
    assert bob.ask("/v0.1/servers?limit=1000")[0] == 200
    for wrong in ["limit=0", "limit=x", "cursor=%25", "updated_since=now", "include_deleted=maybe"]:
        assert bob.ask(f"/v0.1/servers?{wrong}")[0] == 400, wrong

    for client, seen in [(bob, everything), (alice, ["support", "tickets"]), (carol, [])]:
        for name in [*everything, "hidden", "nowhere"]:
            path = f"/v0.1/servers/com.example.mcp%2F{name}/versions"
            answers = [client.ask(f"{path}{rest}") for rest in ("", "/latest", "/9.9.9")]
            expected = [200, 200, 404] if name in seen else [404, 404, 404]
            assert [status for status, _ in answers] == expected, (name, answers)
            if name not in seen:
                # A hidden entry cannot be distinguished from a missing one.
                nowhere = client.ask("/v0.1/servers/com.example.mcp%2Fnowhere/versions/latest")
                assert all(answer == nowhere for answer in answers), (name, answers)
                continue
            entry = answers[1][1]
            assert answers[0][1]["servers"] == [entry], answers
            exact = client.ask(f"{path}/{entry['server']['version']}")
            assert exact == (200, entry), exact
            remote = {"type": "streamable-http", "url": f"https://mcp.example.com/mcp/{name}"}
            assert entry["server"]["remotes"] == [remote], entry

    version = "/v0.1/servers/com.example.mcp%2Ftickets/versions/1.0.0"
    for method, target, expected in [
        ("POST", "/v0.1/publish", 501),
        ("PUT", version, 501),
        ("DELETE", version, 501),
        ("POST", "/v0.1/servers", 405),
    ]:
        assert bob.ask(target, method)[0] == expected, (method, target)
    assert Client(gateway, description, "dw_nonsense").ask("/v0.1/servers")[0] == 401
    # Every caller sees public entries.
    assert short(Client(gateway, description).names()) == ["support"]
    act("mail", "retire", {})
    until("it is not listed", lambda: short(bob.names()) == ["payroll", "support", "tickets", "wages"])
    gateway.told("stop", "server", "tickets", "--why", "a test")
    until("what is stopped is not listed", lambda: short(bob.names()) == ["payroll", "wages"])
    (stop,) = json.loads(gateway.told("stop", "list", "--json"))
    gateway.told("stop", "undo", stop["id"], "--why", "it was one")
    until("it is listed again", lambda: "tickets" in short(bob.names()))
    return gateway, bob.key


def operate(gateway, key, path, body):
    url = f"http://127.0.0.1:{gateway.admin}/admin/v1/{path}"
    request = urllib.request.Request(url, method="POST", data=json.dumps(body).encode())
    for name, value in {"content-type": "application/json", "authorization": f"Bearer {key}"}.items():
        request.add_header(name, value)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def status_of(client, name):
    return client.ask(f"/v0.1/servers/com.example.mcp%2F{name}/versions/latest")[1]["_meta"][OFFICIAL]


class Stub:
    """A registry with entries, three per page. Its requests and responses are validated against the description."""

    def __init__(self, description, entries):
        self.description, self.entries = description, entries
        self.asked, self.wrong = [], []
        stub = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                stub.asked.append(self.path)
                status, body = stub.answer(self.path)
                try:
                    stub.description.check_request("GET", self.path)
                    stub.description.check_answer("GET", self.path, status, "application/json", body)
                except (OpenAPIError, jsonschema.ValidationError) as error:
                    stub.wrong.append((self.path, repr(error), repr(error.__cause__)))
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, target):
        asked = dict(urllib.parse.parse_qsl(target.partition("?")[2]))
        official = lambda entry: entry["_meta"][OFFICIAL]  # noqa: E731
        found = [entry for entry in self.entries if asked.get("updated_since", "") <= official(entry)["updatedAt"]]
        if asked.get("version") == "latest":
            found = [entry for entry in found if official(entry)["isLatest"]]
        if asked.get("include_deleted") != "true" and "updated_since" not in asked:
            found = [entry for entry in found if official(entry)["status"] != "deleted"]
        start = int(asked.get("cursor", "0"))
        page = found[start : start + 3]
        metadata = {"count": len(page)}
        if start + 3 < len(found):
            metadata["nextCursor"] = str(start + 3)
        return 200, json.dumps({"servers": page, "metadata": metadata}).encode()


def entry(name, version="1.0.0", status="active", updated="2026-01-02T00:00:00Z", latest=True, **server):
    official = {"status": status, "updatedAt": updated, "publishedAt": updated, "isLatest": latest}
    return {
        "server": {"name": name, "version": version, "description": "A server", **server},
        "_meta": {OFFICIAL: official},
    }


def remote(url, **more):
    return {"remotes": [{"type": "streamable-http", "url": url, **more}]}


class Reader(Gateway):
    """A gateway that polls a registry."""

    def registry(self):
        """The state of the registry, once it is known."""
        return next(iter(json.loads(self.told("registries", "list", "--json"))), {})

    def entries(self):
        return {it["name"]: it for it in json.loads(self.told("registries", "entries", "public", "--json"))}

    def read_again(self):
        self.told("registries", "read", "public")
        until("it is read again", self.is_done)

    def is_done(self):
        registry = self.registry()
        return registry.get("next", 0) > 0 and not registry["reading"]


def as_client(binary, processes, folder, description, pages):
    """Validates every request of the gateway, and tests how it handles the responses, including entries of the
    official registry."""
    published = json.loads(pages.read_text())["servers"]
    for it in published:
        # The official registry sends it empty, which its description does not permit.
        if it["server"].get("repository") == {}:
            del it["server"]["repository"]
    token = {"name": "Authorization", "value": "Bearer {token}", "variables": {"token": {"isSecret": True}}}
    package = {"registryType": "npm", "identifier": "x", "version": "1.0.0", "transport": {"type": "stdio"}}
    own = [
        entry("com.acme/weather", **remote("https://weather.example/mcp", headers=[token])),
        entry("com.acme/program", packages=[package]),
        entry("com.acme/inside", **remote("http://169.254.169.254/latest")),
        entry("com.acme/old", status="deprecated", **remote("https://old.example/mcp")),
        entry("com.acme/gone", status="deleted", **remote("https://gone.example/mcp")),
    ]
    stub = Stub(description, [*own, *published])
    config = f"registries: {{public: {{url: 'http://127.0.0.1:{stub.port}', allow_private: true}}}}\n"
    gateway = Reader(binary, processes, folder, "client", config)
    until("it is read", lambda: gateway.registry().get("read") and gateway.is_done())
    read, found = gateway.registry(), gateway.entries()
    latest = [it for it in [*own, *published] if it["_meta"][OFFICIAL]["isLatest"]]
    assert (read["entries"], read["unreadable"], read.get("problem")) == (len(latest), 0, None), read
    assert read["pages"] == -(-len(latest) // 3), read
    states = {name: found[f"com.acme/{name}"]["state"] for name in ("weather", "program", "inside", "old")}
    assert states == {"weather": "proposed", "program": "skipped", "inside": "skipped", "old": "skipped"}, found
    assert "com.acme/gone" not in found
    servers = json.loads(gateway.get("/admin/v1/servers")[1])["items"]
    assert servers and all(server["state"] == "proposed" for server in servers), servers
    # The next poll reads only changes: one version was deleted, and another has taken its place.
    stub.entries += [
        entry("com.acme/weather", "0.9.0", updated="2026-01-01T00:00:00Z", **remote("https://weather.example/mcp")),
    ]
    official = own[0]["_meta"][OFFICIAL]
    official |= {"status": "deleted", "isLatest": False, "updatedAt": "2027-01-01T00:00:00Z"}
    gateway.read_again()
    assert gateway.entries()["com.acme/weather"]["state"] == "deleted", gateway.entries()
    assert "updated_since=" in stub.asked[-1] and "version=latest" in stub.asked[0], stub.asked
    assert not stub.wrong, stub.wrong


def both(binary, processes, folder, server, key):
    """A gateway as the registry of another one: what the first serves becomes a proposal at the second."""
    config = f"""
registries:
  public:
    url: http://127.0.0.1:{server.port}
    allow_private: true
    headers: {{authorization: 'Bearer {key}'}}
    exclude: ['*/wages']
"""
    gateway = Reader(binary, processes, folder, "both", config)
    until("it is read", lambda: gateway.registry().get("read") and gateway.is_done())
    found = gateway.entries()
    assert short(found) == ["payroll", "support", "tickets"], found
    assert all(it["state"] == "proposed" for it in found.values()), found


def main():
    binary, folder = Path(sys.argv[1]), Path(sys.argv[2])
    description = Description(folder)
    with running() as (work, processes):
        server, key = as_server(binary, processes, work, description)
        print(f"as a registry: {description.answers} answers with {description.entries} entries are valid")
        expected = {("GET", 200), ("GET", 404), ("POST", 501), ("PUT", 501), ("DELETE", 501)}
        assert expected <= description.answered, description.answered
        as_client(binary, processes, work, description, folder / "servers_page.json")
        print(f"as a client: {description.requests} requests are valid")
        assert description.requests >= 4, description.requests
        both(binary, processes, work, server, key)
        print("a gateway proposes what another one serves")


if __name__ == "__main__":
    main()
