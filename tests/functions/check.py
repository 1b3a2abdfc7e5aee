"""Run by run.py with the SDKs installed. Their types are strict where they have to be: what is no member of a type is an
error here, although the SDKs let it pass."""

import http.server
import json
import subprocess
import sys
import tempfile
import threading
import typing
import urllib.error
import urllib.request
from pathlib import Path

import anthropic.types as claude
import jsonschema
import openai.types.chat as chat
import openai.types.responses as responses
from google.genai import types as gemini
from openapi_spec_validator import validate as validate_description
from pydantic import ConfigDict, TypeAdapter, with_config

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]
from gateway import Gateway  # noqa: E402
from peers import running, until  # noqa: E402

FORMATS = ("openai", "openai-responses", "anthropic", "gemini")
NAME = r"^[A-Za-z_][A-Za-z0-9_-]{0,63}$"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

# What the results of the fixture contain, by tool.
RESULTS = {
    "text": {"content": [{"type": "text", "text": "plain"}]},
    "empty": {"content": []},
    "structured": {"content": [{"type": "text", "text": "one"}], "structuredContent": {"a": [1, {"b": None}]}},
    "image": {"content": [{"type": "image", "data": PNG, "mimeType": "image/png"}]},
    "audio": {"content": [{"type": "audio", "data": "aGk=", "mimeType": "audio/wav"}]},
    "pdf": {
        "content": [
            {"type": "resource", "resource": {"uri": "f:a.pdf", "mimeType": "application/pdf", "blob": "JVBERi0="}}
        ]
    },
    "links": {
        "content": [
            {"type": "resource_link", "uri": "f:b", "name": "b"},
            {"type": "resource", "resource": {"uri": "f:c", "text": "inner"}},
        ]
    },
    "failed": {"content": [{"type": "text", "text": "no"}], "isError": True},
}
SCHEMAS = {
    "text": {"$schema": "http://json-schema.org/draft-07/schema#", "type": "object", "x-order": 1},
    "empty": {"type": "object", "oneOf": [{"required": ["a"], "properties": {"a": {"type": "string"}}}, {"type": "object"}]},
    "structured": {"type": "object", "properties": {"a": {"$ref": "#/definitions/A"}}, "definitions": {"A": {"type": "string"}}},
    "image": {"type": "object", "additionalProperties": {"type": "string"}},
}


class Fixture(http.server.BaseHTTPRequestHandler):
    """A server of 2026-07-28 with every kind of content."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method, params = asked["method"], asked.get("params", {})
        if method == "server/discover":
            result = {"supportedVersions": ["2026-07-28"], "capabilities": {"tools": {}}, "ttlMs": 60000, "cacheScope": "public"}
        elif method == "tools/list":
            tools = [
                {"name": f"{name} it", "description": name, "inputSchema": SCHEMAS.get(name, {"type": "object"})}
                for name in RESULTS
            ]
            result = {"tools": tools, "ttlMs": 60000, "cacheScope": "public"}
        else:
            result = dict(RESULTS[params["name"].removesuffix(" it")])
        result.setdefault("resultType", "complete")
        body = json.dumps({"jsonrpc": "2.0", "id": asked.get("id"), "result": result}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def closed(kind, seen):
    """A typed dictionary, and all within it, that permits no other members."""
    if typing.is_typeddict(kind) and kind not in seen:
        seen.add(kind)
        with_config(ConfigDict(extra="forbid", strict=True))(kind)
        for of in typing.get_type_hints(kind).values():
            closed(of, seen)
    for of in typing.get_args(kind):
        closed(of, seen)


def adapter(kind):
    closed(kind, set())
    return TypeAdapter(kind)


TOOLS = {
    "openai": adapter(list[chat.ChatCompletionFunctionToolParam]),
    "openai-responses": adapter(list[responses.FunctionToolParam]),
    "anthropic": adapter(list[claude.ToolParam]),
    "gemini": TypeAdapter(list[gemini.Tool]),
}
ANSWERS = {
    "openai": adapter(chat.ChatCompletionToolMessageParam),
    "openai-responses": adapter(responses.response_input_param.FunctionCallOutput),
    "anthropic": adapter(claude.ToolResultBlockParam),
    "gemini": TypeAdapter(gemini.Part),
}


def call(dialect, name, arguments, number):
    """A call as the SDK has it in a model's response, serialized by the SDK."""
    text = json.dumps(arguments)
    if dialect == "openai":
        function = {"name": name, "arguments": text}
        made = chat.ChatCompletionMessageFunctionToolCall(id=f"c{number}", type="function", function=function)
        return made.model_dump(mode="json", exclude_none=True)
    if dialect == "openai-responses":
        made = responses.ResponseFunctionToolCall(type="function_call", call_id=f"c{number}", name=name, arguments=text)
        return made.model_dump(mode="json", exclude_none=True)
    if dialect == "anthropic":
        made = claude.ToolUseBlock(type="tool_use", id=f"c{number}", name=name, input=arguments)
        return made.model_dump(mode="json", exclude_none=True)
    made = gemini.Part(function_call=gemini.FunctionCall(name=name, args=arguments, id=f"c{number}"))
    return made.model_dump(mode="json", exclude_none=True, by_alias=number % 2 == 0)


def request(gateway, path, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    asked = urllib.request.Request(f"http://127.0.0.1:{gateway.port}/api/v1{path}", data=data, method=method)
    asked.add_header("content-type", "application/json")
    with urllib.request.urlopen(asked, timeout=60) as answer:
        return json.load(answer)


def functions_of(dialect, tools):
    if dialect == "gemini":
        return [
            (one["name"], one["parametersJsonSchema"]) for group in tools for one in group["functionDeclarations"]
        ]
    if dialect == "openai":
        return [(tool["function"]["name"], tool["function"]["parameters"]) for tool in tools]
    if dialect == "anthropic":
        return [(tool["name"], tool["input_schema"]) for tool in tools]
    return [(tool["name"], tool["parameters"]) for tool in tools]


def listed(gateway, dialect, more=""):
    tools, cursor = [], ""
    while True:
        page = request(gateway, f"/tools?format={dialect}&limit=1000{more}{cursor}")
        tools += page["tools"]
        if "next_cursor" not in page:
            return tools
        cursor = f"&cursor={page['next_cursor']}"


def check_lists(gateway, name):
    counts = set()
    for dialect in FORMATS:
        for more in ("", "&strict=true") if dialect.startswith("openai") else ("",):
            tools = listed(gateway, dialect, more)
            read = TOOLS[dialect].validate_python(tools)
            functions = functions_of(dialect, tools)
            counts.add(len(functions))
            strict = 0
            for (own, schema), tool in zip(functions, tools if dialect != "gemini" else functions):
                jsonschema.validate(own, {"type": "string", "pattern": NAME})
                jsonschema.Draft202012Validator.check_schema(schema)
                assert schema["type"] == "object" and "properties" in schema, (own, schema)
                assert not {"oneOf", "anyOf", "allOf", "$schema", "$id"} & schema.keys(), (own, schema)
                if more and (tool.get("function") or tool)["strict"]:
                    strict += 1
                    check_strict(schema, own)
            assert len({own for own, _ in functions}) == len(functions)
            if dialect == "gemini":
                written = [tool.model_dump(mode="json", exclude_none=True, by_alias=True) for tool in read]
                assert written == tools, "the SDK drops something"
            if more:
                print(f"{name}: {len(functions)} tools, {strict} of them in strict mode ({dialect})", flush=True)
    assert len(counts) == 1, counts


def check_strict(schema, own):
    """What OpenAI requires of a strict schema."""
    if isinstance(schema, list):
        for one in schema:
            check_strict(one, own)
    if not isinstance(schema, dict):
        return
    if schema.get("type") == "object" or "properties" in schema:
        assert schema["additionalProperties"] is False, (own, schema)
        assert sorted(schema["required"]) == sorted(schema["properties"]), (own, schema)
    for one in ("oneOf", "allOf", "not", "patternProperties", "default"):
        assert one not in schema, (own, schema)
    for name, inner in schema.items():
        named = name in ("properties", "$defs")
        if named or name in ("items", "anyOf"):
            check_strict(list(inner.values()) if named else inner, own)


def check_results(gateway):
    names = {own: own for own, _ in functions_of("openai", listed(gateway, "openai"))}
    fixture = sorted(own for own in names if own.startswith("fixture__"))
    calls = [(own, {}) for own in fixture]
    calls += [("sample__add", {"a": 1, "b": 2}), ("sample__add", {"a": "x"}), ("sample__introduce", {}), ("none__none", {})]
    for dialect in FORMATS:
        sent = [call(dialect, own, arguments, number) for number, (own, arguments) in enumerate(calls)]
        told = request(gateway, "/tools/execute", sent)
        assert len(told["results"]) == len(calls), told
        for number, ((own, _), result) in enumerate(zip(calls, told["results"])):
            read = ANSWERS[dialect].validate_python(result)
            if dialect == "gemini":
                answer = read.function_response
                assert (answer.id, answer.name) == (f"c{number}", own)
                assert read.model_dump(mode="json", exclude_none=True, by_alias=True) == json.loads(
                    json.dumps(result).replace(PNG, PNG.replace("+", "-").replace("/", "_"))
                ), result
            else:
                member = {"openai": "tool_call_id", "openai-responses": "call_id", "anthropic": "tool_use_id"}[dialect]
                assert result[member] == f"c{number}", result
        failed = [own for (own, _), ran in zip(calls, told["calls"]) if ran["is_error"]]
        assert len(failed) == 4, failed
        print(f"{len(calls)} results are valid by the types of the SDK ({dialect})", flush=True)


def check_description(gateway, folder):
    """A generated client calls a tool, and generated requests find nothing that is not described."""
    url = f"http://127.0.0.1:{gateway.port}/api/v1"
    description = request(gateway, "/openapi.json")
    validate_description(description)
    file = folder / "openapi.json"
    file.write_text(json.dumps(description))
    tools = Path(sys.executable).parent
    generate = [tools / "openapi-python-client", "generate", "--path", file, "--output-path", folder / "client", "--meta", "none"]
    done = subprocess.run([str(part) for part in generate], capture_output=True, text=True, cwd=folder)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "WARNING" not in done.stdout, done.stdout
    sys.path[:0] = [str(folder)]
    from client import Client
    from client.api.default import execute
    from client.models import Execute, ExecuteInputType0

    body = Execute(tool="sample/add", input_=ExecuteInputType0.from_dict({"a": 1, "b": 2}))
    answer = execute.sync(client=Client(base_url=url), body=body)
    assert answer.data == {"sum": 3} and answer.tool == "sample/add", answer
    refused = execute.sync(client=Client(base_url=url), body=Execute(tool="none/none"))
    assert refused.error.code == "unknown_tool", refused
    print("a client that is generated from the description works", flush=True)
    attack = [tools / "schemathesis", "run", file, "--url", url, "--max-examples", "10", "--phases", "examples,coverage,fuzzing"]
    attack += ["--checks", "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"]
    attack += ["--request-timeout", "20", "--max-failures", "5", "--seed", "1", "--no-color"]
    done = subprocess.run([str(part) for part in attack], capture_output=True, text=True, cwd=folder, timeout=120)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    print(done.stdout.strip().splitlines()[-1], flush=True)


def main(binary, *descriptions):
    fixture = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Fixture)
    threading.Thread(target=fixture.serve_forever, daemon=True).start()
    with running() as (folder, processes):
        config = (
            "servers:\n  sample: {sample: true}\n"
            f"  fixture: {{url: 'http://127.0.0.1:{fixture.server_address[1]}/mcp'}}\n"
        )
        gateway = Gateway(binary, processes, folder, "gateway", config)
        until("all tools are listed", lambda: len(listed(gateway, "openai")) == 5 + len(RESULTS))
        check_lists(gateway, "sample and fixture")
        check_results(gateway)
        with tempfile.TemporaryDirectory() as generated:
            check_description(gateway, Path(generated))
        for description in descriptions:
            name, _, file = description.partition("=")
            openapi = f"{{description: '${{file:{file}}}'}}"
            config = f"servers: {{api: {{url: 'http://127.0.0.1:9', openapi: {openapi}}}}}\n"
            of_api = Gateway(binary, processes, folder, name, config)
            until("its tools are listed", lambda: listed(of_api, "anthropic"))
            check_lists(of_api, name)
            of_api.process.kill()
    fixture.shutdown()


main(*sys.argv[1:])
