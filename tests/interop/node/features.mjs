// What a client of the matrix tries, in the words of neither SDK: each adapter gives it `ops`.

const fits = (what, holds) => {
  if (!holds) throw new Error(`unexpected: ${JSON.stringify(what)?.slice(0, 300)}`);
};
const within = (ms, promise, what) =>
  Promise.race([
    promise,
    new Promise((_, reject) => setTimeout(() => reject(new Error(`${what}: nothing within ${ms} ms`)), ms)),
  ]);

const features = {
  list: async (ops) => fits(await ops.tools(), (await ops.tools()).includes("echo")),
  call: async (ops) => {
    const said = `grüße ${Math.random()} \u2028 "\\`;
    const result = await ops.call("echo", { text: said });
    fits(result, result.content[0].text === said);
  },
  structured: async (ops) => {
    const result = await ops.call("structured", {});
    fits(result, result.structuredContent.number === 7 && result.structuredContent.word === "seven");
  },
  image: async (ops) => {
    const [block] = (await ops.call("image", {})).content;
    fits(block, block.type === "image" && block.mimeType === "image/png" && block.data.startsWith("iVBOR"));
  },
  audio: async (ops) => {
    const [block] = (await ops.call("audio", {})).content;
    fits(block, block.type === "audio" && block.mimeType === "audio/wav");
  },
  error: async (ops) => {
    const result = await ops.call("fail", {});
    fits(result, result.isError === true && result.content[0].text === "it failed");
  },
  progress: async (ops) => {
    const seen = [];
    const result = await ops.call("progress", {}, { onprogress: (progress) => seen.push(progress.progress) });
    fits([result, seen], result.content[0].text === "done" && seen.join() === "1,2,3");
  },
  cancel: async (ops) => {
    const before = Number((await ops.call("cancelled", {})).content[0].text);
    const abort = new AbortController();
    const call = ops.call("slow", {}, { signal: abort.signal }).then(() => "answered", () => "aborted");
    setTimeout(() => abort.abort("no more"), 200);
    fits("the call", (await within(5000, call, "cancel")) === "aborted");
    for (let tries = 0; tries < 50; tries++) {
      if (Number((await ops.call("cancelled", {})).content[0].text) > before) return;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    throw new Error("the server does not know of the cancellation");
  },
  log: async (ops) => {
    const seen = ops.next("log");
    await ops.call("log", {});
    fits(await within(5000, seen, "log"), (await seen) === "a log line");
  },
  resource: async (ops) => {
    const [content] = await ops.read("test://static");
    fits(content, content.text === "content of static" && content.uri === "test://static");
  },
  template: async (ops) => {
    const templates = await ops.templates();
    const [content] = await ops.read("test://item/42");
    fits([templates, content], templates.includes("test://item/{id}") && content.text === "item 42");
  },
  subscribe: async (ops) => {
    const update = ops.next("update");
    await ops.subscribe("test://watched");
    await ops.call("touch", {});
    fits(await within(5000, update, "update"), (await update) === "test://watched");
  },
  prompt: async (ops) => {
    const [message] = await ops.prompt("greet", { name: "Ada" });
    fits(message, message.content.text === "Greet Ada");
  },
  completion: async (ops) => {
    const values = await ops.complete("greet", "name", "A");
    fits(values, values.join() === "Ada,Alan");
  },
  elicitation: async (ops) => {
    const result = await ops.call("elicit", {});
    fits(result, result.content[0].text === "hello Tester");
  },
  sampling: async (ops) => {
    const result = await ops.call("sample", {});
    fits(result, result.content[0].text === "said pong");
  },
  roots: async (ops) => {
    const result = await ops.call("roots", {});
    fits(result, result.content[0].text === "file:///project");
  },
  "list change": async (ops) => {
    const change = ops.next("tools");
    await ops.watch();
    await ops.call("grow", {});
    await within(5000, change, "list change");
    const names = await ops.tools();
    fits(names, names.some((name) => name.startsWith("grown-")));
  },
};

/** Tries everything and prints one JSON object: the feature, and `ok` or what went wrong. */
export async function tryAll(ops) {
  const results = {};
  for (const [name, feature] of Object.entries(features)) {
    try {
      await within(15_000, feature(ops), name);
      results[name] = "ok";
    } catch (error) {
      results[name] = String(error?.message ?? error);
    }
  }
  console.log(JSON.stringify(results));
}

/** Waiting for what is told: `next(kind)` resolves at the next `tell(kind, value)`. */
export function inbox() {
  const waiting = new Map();
  return {
    next: (kind) => new Promise((resolve) => waiting.set(kind, resolve)),
    tell: (kind, value) => waiting.get(kind)?.(value),
  };
}
