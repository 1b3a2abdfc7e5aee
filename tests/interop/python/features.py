"""The features that a client of the matrix tries: each adapter passes its `ops`."""

import asyncio
import json
import random

FEATURES = {}


def feature(run):
    FEATURES[run.__name__.replace("_", " ")] = run
    return run


def fits(what, holds):
    if not holds:
        raise AssertionError(f"unexpected: {what!r}"[:300])


class Inbox:
    """Waits for notifications: `next(kind)` completes at the next `tell(kind, value)`."""

    def __init__(self):
        self.waiting = {}

    def next(self, kind):
        self.waiting[kind] = asyncio.get_running_loop().create_future()
        return self.waiting[kind]

    def tell(self, kind, value=None):
        future = self.waiting.get(kind)
        if future and not future.done():
            future.set_result(value)


@feature
async def list(ops):
    names = await ops.tools()
    fits(names, "echo" in names)


@feature
async def call(ops):
    said = f'grüße {random.random()} \u2028 "\\'
    result = await ops.call("echo", {"text": said})
    fits(result, result.content[0].text == said)


@feature
async def structured(ops):
    result = await ops.call("structured", {})
    fits(result, ops.structured(result) == {"number": 7, "word": "seven"})


@feature
async def image(ops):
    block = (await ops.call("image", {})).content[0]
    fits(block, block.type == "image" and block.data.startswith("iVBOR"))


@feature
async def audio(ops):
    block = (await ops.call("audio", {})).content[0]
    fits(block, block.type == "audio")


@feature
async def error(ops):
    result = await ops.call("fail", {})
    fits(result, ops.failed(result) and result.content[0].text == "it failed")


@feature
async def progress(ops):
    seen = []

    async def told(progress, total, message):
        seen.append(progress)

    result = await ops.call("progress", {}, progress=told)
    fits((result, seen), result.content[0].text == "done" and seen == [1, 2, 3])


@feature
async def cancel(ops):
    before = int((await ops.call("cancelled", {})).content[0].text)
    await ops.give_up("slow")
    for _ in range(50):
        if int((await ops.call("cancelled", {})).content[0].text) > before:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the server does not know of the cancellation")


@feature
async def log(ops):
    seen = ops.inbox.next("log")
    await ops.call("log", {})
    fits("log", await asyncio.wait_for(seen, 5) == "a log line")


@feature
async def resource(ops):
    content = (await ops.read("test://static"))[0]
    fits(content, content.text == "content of static" and str(content.uri) == "test://static")


@feature
async def template(ops):
    templates = await ops.templates()
    content = (await ops.read("test://item/42"))[0]
    fits((templates, content), "test://item/{id}" in templates and content.text == "item 42")


@feature
async def subscribe(ops):
    update = ops.inbox.next("update")
    await ops.subscribe("test://watched")
    await ops.call("touch", {})
    fits("update", await asyncio.wait_for(update, 5) == "test://watched")


@feature
async def prompt(ops):
    message = (await ops.prompt("greet", {"name": "Ada"}))[0]
    fits(message, message.content.text == "Greet Ada")


@feature
async def completion(ops):
    values = await ops.complete("greet", "name", "A")
    fits(values, values == ["Ada", "Alan"])


@feature
async def elicitation(ops):
    result = await ops.call("elicit", {})
    fits(result, result.content[0].text == "hello Tester")


@feature
async def sampling(ops):
    result = await ops.call("sample", {})
    fits(result, result.content[0].text == "said pong")


@feature
async def roots(ops):
    result = await ops.call("roots", {})
    fits(result, result.content[0].text == "file:///project")


@feature
async def list_change(ops):
    change = ops.inbox.next("tools")
    await ops.watch()
    await ops.call("grow", {})
    await asyncio.wait_for(change, 5)
    names = await ops.tools()
    fits(names, any(name.startswith("grown-") for name in names))


async def try_all(ops):
    results = {}
    for name, run in FEATURES.items():
        try:
            await asyncio.wait_for(run(ops), 15)
            results[name] = "ok"
        except Exception as error:  # any error is the result of the cell
            results[name] = f"{type(error).__name__}: {error}"
    print(json.dumps(results), flush=True)
