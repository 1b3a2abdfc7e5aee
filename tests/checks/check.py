"""Run by run.py: a gateway with a Presidio analyzer as its check, and a server that returns what reaches it."""

import http.server
import json
import sys
import threading
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent)]
from gateway import Gateway  # noqa: E402
from peers import running  # noqa: E402

TOOLS = [
    {"name": name, "inputSchema": {"type": "object"}, "annotations": {"readOnlyHint": True}}
    for name in ("send", "read", "strict", "plain")
]
# The text sent, the text that the server may receive, and the classes found.
TEXTS = [
    ("mail dana@example.org today", "mail [EMAIL] today", {"email"}),
    ("😀 é: dana@example.org", "😀 é: [EMAIL]", {"email"}),
    ("card 4111 1111 1111 1111.", "card [CARD].", {"card"}),
    ("pay DE89370400440532013000 now", "pay [IBAN] now", {"iban"}),
    ("a@example.org, b@example.net", "[EMAIL], [EMAIL]", {"email"}),
    ("the order 4711 is late", "the order 4711 is late", set()),
    ("", "", set()),
]


class Server(http.server.BaseHTTPRequestHandler):
    """A server of 2026-07-28 that stores the arguments of calls and responds as the test says."""

    protocol_version = "HTTP/1.1"
    seen, says = [], {}

    def log_message(self, *_):
        pass

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        result = {"resultType": "complete", "ttlMs": 60_000, "cacheScope": "public"}
        match asked["method"]:
            case "server/discover":
                result |= {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}}
            case "tools/list":
                result |= {"tools": TOOLS}
            case "tools/call":
                Server.seen.append(asked["params"]["arguments"])
                result = {"resultType": "complete", "content": [{"type": "text", "text": "done"}]} | Server.says
        body = json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), "result": result}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def call(gateway, tool, arguments):
    return gateway.ask("tools/call", {"name": tool, "arguments": arguments}, path="/mcp/s")


def main(binary, python):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with running() as (folder, processes):
        presidio = processes.listening([python, HERE / "presidio.py", "{port}"], "presidio.log")
        entities = ["EMAIL_ADDRESS", "CREDIT_CARD", "IBAN_CODE"]
        about = {"url": f"http://127.0.0.1:{presidio}/analyze", "form": "presidio", "timeout": "20s"}
        checks = {
            "mask": about | {"targets": ["s/send"], "presidio": {"entities": entities}},
            "out": about | {"targets": ["s/read"], "when": ["after"], "presidio": {"entities": entities}},
            "strict": about | {"targets": ["s/strict"], "presidio": {"action": "refuse"}},
        }
        servers = {"s": {"url": f"http://127.0.0.1:{server.server_port}/mcp"}}
        gateway = Gateway(binary, processes, folder, "gateway", json.dumps({"servers": servers, "checks": checks}))

        for text, masked, classes in TEXTS:
            answer = call(gateway, "send", {"note": text, "n": 1.50, "more": [{"text": text}]})
            assert answer["result"]["content"][0]["text"] == "done", answer
            assert Server.seen[-1] == {"note": masked, "n": 1.5, "more": [{"text": masked}]}, (text, Server.seen[-1])

            Server.says = {"content": [{"type": "text", "text": text}], "structuredContent": {"note": text}}
            result = call(gateway, "read", {"text": text})["result"]
            assert Server.seen[-1] == {"text": text}, Server.seen[-1]
            assert result["content"][0]["text"] == masked and result["structuredContent"]["note"] == masked, result
            Server.says = {}

            before = len(Server.seen)
            answer = call(gateway, "strict", {"text": text})
            if classes:
                assert answer["error"]["data"]["kind"] == "check_refused", answer
                assert all(word in answer["error"]["message"] for word in classes), answer
                assert len(Server.seen) == before
            else:
                assert answer["result"]["content"][0]["text"] == "done", answer
            # A call to which no check applies is unchanged.
            call(gateway, "plain", {"text": text})
            assert Server.seen[-1] == {"text": text}
        records = gateway.told("audit", "search", "--json", "--tool", "send")
        found = [json.loads(line) for line in records.splitlines()]
        assert {word for record in found for word in record.get("data", [])} == {"email", "card", "iban"}, records
        print(f"{len(TEXTS)} texts through a Presidio analyzer, in arguments and results: as expected")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
