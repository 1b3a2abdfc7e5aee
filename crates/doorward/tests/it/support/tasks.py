"""A server whose tools run as tasks, over pipes, of one era: `tasks.py handshake|modern MARKS`.

Written by hand, for no SDK's server tells what it was asked, and fails on demand: each task that is
cancelled is a line in the file MARKS.
"""

import json
import sys
import threading
import time

ERA, MARKS = sys.argv[1:]
EXTENSION = "io.modelcontextprotocol/tasks"
tasks = {}
answers = {}
lock = threading.Lock()


def mark(text):
    with open(MARKS, "a") as marks:
        marks.write(text + "\n")


def say(message):
    with lock:
        print(json.dumps({"jsonrpc": "2.0", **message}), flush=True)


def content(text):
    return {"content": [{"type": "text", "text": text}], **({"resultType": "complete"} if ERA == "modern" else {})}


QUESTION = {"mode": "form", "message": "Go on?", "requestedSchema": {"type": "object", "properties": {}}}


class Task:
    def __init__(self, name):
        self.id, self.name, self.began = f"task-{len(tasks)}", name, time.monotonic()
        self.cancelled, self.answer = False, None

    def status(self):
        if self.cancelled:
            return "cancelled"
        if self.name == "ask" and self.answer is None:
            return "input_required"
        if self.name == "long":
            return "working"
        return "completed" if time.monotonic() - self.began > 0.3 else "working"

    def state(self):
        times = {"ttl": 60000, "pollInterval": 50} if ERA == "handshake" else {"ttlMs": 60000, "pollIntervalMs": 50}
        at = "2026-01-01T00:00:00Z"
        state = {"taskId": self.id, "status": self.status(), "createdAt": at, "lastUpdatedAt": at, **times}
        state["statusMessage"] = "at work"
        if ERA == "modern" and state["status"] == "completed":
            state["result"] = self.result()
        if ERA == "modern" and state["status"] == "input_required":
            state["inputRequests"] = {"go": {"method": "elicitation/create", "params": QUESTION}}
        return state

    def result(self):
        if self.name == "leak":
            return content("done: write to ada.lee@acme.example")
        return content(f"done: {(self.answer or {}).get('action')}")


def wait_for_result(id, task):
    """`tasks/result` of 2025-11-25: asks what there is to ask, and answers when the task is over."""
    related = {"_meta": {"io.modelcontextprotocol/related-task": {"taskId": task.id}}}
    if task.status() == "input_required":
        say({"id": f"ask-{task.id}", "method": "elicitation/create", "params": {**QUESTION, **related}})
        while task.answer is None and not task.cancelled:
            task.answer = answers.get(f"ask-{task.id}")
            time.sleep(0.01)
    while task.status() not in ("completed", "cancelled"):
        time.sleep(0.01)
    say({"id": id, "result": {**task.result(), **related}})


def called(id, params):
    declared = params.get("_meta", {}).get("io.modelcontextprotocol/clientCapabilities", {})
    knows = "task" in params if ERA == "handshake" else EXTENSION in declared.get("extensions", {})
    if not knows and ERA == "handshake":
        return say({"id": id, "error": {"code": -32601, "message": "this tool runs as a task"}})
    if not knows:
        data = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
        return say({"id": id, "error": {"code": -32021, "message": "tasks are needed", "data": data}})
    task = Task(params["name"])
    tasks[task.id] = task
    state = task.state()
    state.pop("inputRequests", None)
    say({"id": id, "result": {"task": state} if ERA == "handshake" else {**state, "resultType": "task"}})


def push(subscription, task):
    """Tells a listener of 2026-07-28 when a task is over, with all of it."""
    while task.status() not in ("completed", "cancelled"):
        time.sleep(0.01)
    say({"method": "notifications/tasks", "params": {**task.state(), **subscription}})


def listen(id, params):
    subscription = {"_meta": {"io.modelcontextprotocol/subscriptionId": id}}
    wanted = params.get("notifications", {})
    say({"method": "notifications/subscriptions/acknowledged", "params": {"notifications": wanted, **subscription}})
    for task in wanted.get("taskIds", []):
        threading.Thread(target=push, args=(subscription, tasks[task]), daemon=True).start()


def asked(id, method, params):
    task = tasks.get(params.get("taskId"))
    if method.startswith("tasks/") and task is None:
        return say({"id": id, "error": {"code": -32602, "message": "no such task"}})
    if method == "subscriptions/listen":
        return listen(id, params)
    if method == "tasks/get":
        return say({"id": id, "result": {**task.state(), **({"resultType": "complete"} if ERA == "modern" else {})}})
    if method == "tasks/cancel":
        if task.status() != "completed":
            mark(f"cancelled {task.id}")
        task.cancelled = True
        return say({"id": id, "result": {"resultType": "complete"} if ERA == "modern" else task.state()})
    if method == "tasks/update":
        task.answer = params["inputResponses"].get("go", task.answer)
        return say({"id": id, "result": {"resultType": "complete"}})
    if method == "tasks/result":
        return threading.Thread(target=wait_for_result, args=(id, task), daemon=True).start()
    if method == "tools/call":
        return called(id, params)
    if method == "tools/list":
        execution = {"execution": {"taskSupport": "required"}} if ERA == "handshake" else {}
        tools = [{"name": name, "inputSchema": {"type": "object"}, **execution} for name in ("short", "long", "ask", "leak")]
        cached = {"resultType": "complete", "ttlMs": 60000, "cacheScope": "private"} if ERA == "modern" else {}
        return say({"id": id, "result": {"tools": tools, **cached}})
    if method == "initialize" and ERA == "handshake":
        capabilities = {"tools": {}, "tasks": {"cancel": {}, "requests": {"tools": {"call": {}}}}}
        about = {"protocolVersion": "2025-11-25", "capabilities": capabilities}
        return say({"id": id, "result": {**about, "serverInfo": {"name": "tasks", "version": "1"}}})
    if method == "server/discover" and ERA == "modern":
        capabilities = {"tools": {}, "extensions": {EXTENSION: {}}}
        about = {"supportedVersions": ["2026-07-28"], "capabilities": capabilities, "ttlMs": 0, "cacheScope": "public"}
        return say({"id": id, "result": {**about, "resultType": "complete"}})
    say({"id": id, "error": {"code": -32601, "message": "no such method"}})


for line in sys.stdin:
    message = json.loads(line)
    if "method" not in message:
        answers[message["id"]] = message.get("result", {"action": "none"})
    elif "id" in message:
        asked(message["id"], message["method"], message.get("params", {}))
