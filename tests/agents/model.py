"""A model endpoint that follows a script: it calls every tool of the gateway that it is offered, once, and then says
that it is done. It speaks three dialects, like their providers: Anthropic's Messages, OpenAI's Responses and Gemini's
generateContent. Like the providers, it rejects a whole request if it does not accept the name of one tool."""

import http.server
import json
import re
import threading

# The tool names that each provider accepts.
NAMES = {
    "anthropic": re.compile(r"[a-zA-Z0-9_-]{1,64}"),
    "openai": re.compile(r"[a-zA-Z0-9_-]{1,64}"),
    "gemini": re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]{0,63}"),
}


class Model:
    """The tools that the endpoint was offered, the calls that it made, and their results."""

    def __init__(self, is_ours):
        self.is_ours = is_ours
        self.offered, self.called, self.results, self.refused, self.paths = set(), [], {}, [], []
        self.lock = threading.Lock()
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}"

    def stop(self):
        self.server.shutdown()

    def next_tool(self, dialect, names):
        """The next tool to call, or `None` if all were called."""
        for name in names:
            if not NAMES[dialect].fullmatch(name):
                self.refused.append(name)
        with self.lock:
            ours = sorted(name for name in names if self.is_ours(name))
            self.offered |= set(ours)
            left = [name for name in ours if name not in self.called]
            if not left:
                return None
            self.called.append(left[0])
            return left[0]

    def handler(model):
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self, body, kind="application/json", status=200):
                body = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", kind)
                self.send_header("content-length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def events(self, events):
                """Sends the events, each with its type if it has one."""
                lines = []
                for event in events:
                    if "type" in event:
                        lines.append(f"event: {event['type']}\n")
                    lines.append(f"data: {json.dumps(event)}\n\n")
                self.answer("".join(lines).encode(), "text/event-stream")

            def do_HEAD(self):
                self.answer({})

            def do_GET(self):
                model.paths.append(self.path)
                self.answer({"models": [], "data": []})

            def do_POST(self):
                model.paths.append(self.path)
                body = json.loads(self.rfile.read(int(self.headers.get("content-length", 0))) or b"{}")
                path = self.path.split("?")[0]
                if path.endswith("/messages"):
                    anthropic(model, self, body)
                elif path.endswith("/responses"):
                    openai(model, self, body)
                elif "enerateContent" in path:
                    gemini(model, self, body, path.endswith("streamGenerateContent"))
                elif path.endswith("/count_tokens") or path.endswith(":countTokens"):
                    self.answer({"input_tokens": 10, "totalTokens": 10})
                else:
                    self.answer({}, status=404)

        return Handler


def said(value):
    """The text of a tool's result, however it is wrapped."""
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def arguments(name):
    return {"text": f"hello {name}"}


def anthropic(model, request, body):
    for message in body.get("messages", []):
        content = message["content"]
        for block in content if isinstance(content, list) else []:
            if block["type"] == "tool_result":
                model.results[block["tool_use_id"].removeprefix("toolu_")] = said(block.get("content"))
    name = model.next_tool("anthropic", [tool["name"] for tool in body.get("tools", [])])
    if model.refused:
        return request.answer({"type": "error", "error": {"type": "invalid_request_error", "message": f"tools: {model.refused}"}}, status=400)
    if name:
        block = {"type": "tool_use", "id": f"toolu_{name}", "name": name, "input": {}}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(arguments(name))}
    else:
        block, delta = {"type": "text", "text": ""}, {"type": "text_delta", "text": "all done"}
    reason = "tool_use" if name else "end_turn"
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body.get("model"), "content": [],
               "stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
    if not body.get("stream"):
        block = block | ({"input": arguments(name)} if name else {"text": "all done"})
        return request.answer(message | {"content": [block], "stop_reason": reason})
    request.events([
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    ])


def openai(model, request, body):
    for item in body.get("input", []):
        if item.get("type") == "function_call_output":
            model.results[item["call_id"].removeprefix("call_")] = said(item.get("output"))
    # A namespace contains a server's tools, which are called by both names.
    tools, spaces = [], {}
    for tool in body.get("tools", []):
        for inner in tool.get("tools", [tool]) if tool["type"] == "namespace" else [tool]:
            if "name" not in inner:
                continue
            space = tool["name"] if tool["type"] == "namespace" else None
            whole = f"{space}{inner['name']}" if space else inner["name"]
            spaces[whole] = (space, inner["name"])
            tools.append(whole)
    name = model.next_tool("openai", tools)
    if model.refused:
        return request.answer({"error": {"message": f"Invalid 'tools': {model.refused}", "type": "invalid_request_error"}}, status=400)
    if name:
        space, inner = spaces[name]
        item = {"type": "function_call", "id": "fc_1", "call_id": f"call_{name}", "name": inner,
                "arguments": json.dumps(arguments(name)), "status": "completed"}
        if space:
            item["namespace"] = space
    else:
        item = {"type": "message", "id": "m_1", "role": "assistant", "status": "completed",
                "content": [{"type": "output_text", "text": "all done", "annotations": []}]}
    response = {"id": "resp_1", "object": "response", "status": "completed", "output": [item], "model": body.get("model"),
                "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}}
    request.events([
        {"type": "response.created", "response": response | {"status": "in_progress", "output": []}},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": response},
    ])


def gemini(model, request, body, streamed):
    for content in body.get("contents", []):
        for part in content.get("parts", []):
            if "functionResponse" in part:
                response = part["functionResponse"]
                model.results[response["name"]] = said(response["response"])
    declared = [each["name"] for tool in body.get("tools", []) for each in tool.get("functionDeclarations", [])]
    name = model.next_tool("gemini", declared)
    if model.refused:
        return request.answer({"error": {"code": 400, "message": f"Invalid function name: {model.refused}", "status": "INVALID_ARGUMENT"}}, status=400)
    part = {"functionCall": {"name": name, "args": arguments(name)}} if name else {"text": "all done"}
    answer = {"candidates": [{"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}],
              "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}}
    if not streamed:
        return request.answer(answer)
    request.answer(f"data: {json.dumps(answer)}\r\n\r\n".encode(), "text/event-stream")
