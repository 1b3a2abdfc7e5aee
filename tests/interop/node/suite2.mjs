// The conformance suite's fixture on @modelcontextprotocol/server 2.x:
// `node suite2.mjs both|modern|legacy PORT CATALOGUE`. What it offers stands in the catalogue.
import { readFileSync } from "node:fs";
import {
  McpServer,
  ResourceTemplate,
  createRequestStateCodec,
  fromJsonSchema,
  inputRequired,
} from "@modelcontextprotocol/server";
import { SAMPLING, pause, text } from "./fixture.mjs";
import { serveHttp } from "./serve2.mjs";

const [eras, port, file] = process.argv.slice(2);
const catalogue = JSON.parse(readFileSync(file, "utf8"));
const live = new Set();
const codec = createRequestStateCodec({ key: new TextEncoder().encode("a key for tests, known to everybody") });
let notify;

/** A copy of `value` in which `{name}`, or `{name/member/0}`, in a string is what is known by it. */
function filled(value, known) {
  if (typeof value === "string") {
    return value.replace(/\{([A-Za-z_][A-Za-z0-9_/]*)\}/g, (place, path) => {
      const found = path.split("/").reduce((at, step) => at?.[step], known);
      return found === undefined ? place : typeof found === "string" ? found : JSON.stringify(found);
    });
  }
  if (Array.isArray(value)) return value.map((item) => filled(item, known));
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([name, member]) => [name, filled(member, known)]));
  }
  return value;
}

const answered = (asked, given) =>
  given && Object.keys(asked).every((key) => given[key] && typeof given[key] === "object") ? given : undefined;

/** The requests of a round; of an optional one those that the client can answer. */
function questions(entry, round, known, declared) {
  const asked = Object.entries(filled(entry.ask[round], known));
  const can = ([, request]) => !entry.optional || declared?.[request.method.split("/")[0]];
  return Object.fromEntries(asked.filter(can));
}

/** Goes through the rounds of questions: what is still required, or `{ answers }`. */
async function ask(entry, known, ctx, declared) {
  const stateful = entry.state || entry.ask.length > 1;
  const state = ctx.mcpReq.requestState();
  let at = state?.round ?? 0;
  let asked = questions(entry, at, known, declared);
  const answers = (!stateful || state) && answered(asked, ctx.mcpReq.inputResponses);
  if (answers) {
    at += 1;
    if (at === entry.ask.length) return { answers };
    asked = questions(entry, at, known, declared);
  }
  const requestState = stateful ? await codec.mint({ round: at }) : undefined;
  return { required: inputRequired({ inputRequests: asked, ...(requestState && { requestState }) }) };
}

async function progress(ctx) {
  const progressToken = ctx.mcpReq._meta?.progressToken;
  for (const progress of [0, 50, 100]) {
    if (progressToken !== undefined) {
      await ctx.mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress, total: 100 } });
    }
    await pause(50);
  }
  return text("done");
}

/** The tools that only code can be. */
const acts = {
  test_tool_with_logging: async (ctx) => {
    for (const line of ["Tool execution started", "Tool processing data", "Tool execution completed"]) {
      await ctx.mcpReq.log("info", line);
      await pause(50);
    }
    return text("logged");
  },
  test_logging_tool: async (ctx) => {
    if (ctx.mcpReq.envelope?.["io.modelcontextprotocol/logLevel"]) await ctx.mcpReq.log("info", "the client wants to hear");
    return text("logged where wanted");
  },
  test_tool_with_progress: progress,
  test_reconnection: async (ctx) => {
    ctx.http?.closeSSE?.();
    await pause(100);
    return text("Reconnection test completed");
  },
  // The SDK itself refuses to ask a client for what it did not declare.
  test_missing_capability: async () =>
    inputRequired({ inputRequests: { said: inputRequired.createMessage(SAMPLING) } }),
  test_trigger_tool_change: async () => {
    notify?.toolsChanged();
    for (const server of live) await server.server.sendToolListChanged().catch(() => {});
    return text("announced");
  },
  test_trigger_prompt_change: async () => {
    notify?.promptsChanged();
    for (const server of live) await server.server.sendPromptListChanged().catch(() => {});
    return text("announced");
  },
};

const schema = (arguments_ = []) =>
  fromJsonSchema({
    type: "object",
    properties: Object.fromEntries(arguments_.map(({ name }) => [name, { type: "string" }])),
    required: arguments_.map(({ name }) => name),
  });

function build() {
  const server = new McpServer(
    { name: "suite2", version: "1" },
    {
      capabilities: {
        completions: {},
        logging: {},
        prompts: { listChanged: true },
        resources: { listChanged: true, subscribe: true },
        tools: { listChanged: true },
      },
      requestState: { verify: codec.verify },
    },
  );
  const declared = (ctx) =>
    ctx.mcpReq.envelope?.["io.modelcontextprotocol/clientCapabilities"] ?? server.server.getClientCapabilities();
  for (const [name, entry] of Object.entries(catalogue.tools)) {
    const run = acts[name];
    if (!run && !entry.ask && !entry.result) continue; // tasks, and the matrix's own
    const config = { description: entry.description, inputSchema: fromJsonSchema(entry.inputSchema) };
    if (entry.outputSchema) config.outputSchema = fromJsonSchema(entry.outputSchema);
    server.registerTool(name, config, async (known, ctx) => {
      if (run) return run(ctx, declared(ctx));
      if (!entry.ask) return filled(entry.result, known);
      const { required, answers } = await ask(entry, known, ctx, declared(ctx));
      return required ?? text(filled(entry.then, { ...known, answers }));
    });
  }
  for (const [name, entry] of Object.entries(catalogue.prompts)) {
    server.registerPrompt(name, { description: entry.description, argsSchema: schema(entry.arguments) }, async (known, ctx) => {
      if (!entry.ask) return { messages: filled(entry.messages, known) };
      const { required, answers } = await ask(entry, known, ctx, declared(ctx));
      return required ?? { messages: filled(entry.messages, { ...known, answers }) };
    });
  }
  for (const [uri, content] of Object.entries(catalogue.resources)) {
    const config = { description: "A resource for tests", mimeType: content.mimeType };
    server.registerResource(uri, uri, config, async () => ({ contents: [{ uri, ...content }] }));
  }
  for (const [template, content] of Object.entries(catalogue.templates)) {
    const config = { description: "A template for tests", mimeType: content.mimeType };
    server.registerResource(template, new ResourceTemplate(template, { list: undefined }), config, async (uri, known) => ({
      contents: [{ uri: uri.href, ...filled(content, known) }],
    }));
  }
  server.server.setRequestHandler("completion/complete", async () => ({ completion: { values: ["one", "two"], total: 2 } }));
  server.server.setRequestHandler("resources/subscribe", async () => ({}));
  server.server.setRequestHandler("resources/unsubscribe", async () => ({}));
  return server;
}

/** Keeps what was sent, so that a client can come back for what it missed. */
class Events {
  #sent = [];

  async storeEvent(stream, message) {
    this.#sent.push({ stream, message });
    return String(this.#sent.length - 1);
  }

  async getStreamIdForEventId(id) {
    return this.#sent[Number(id)]?.stream;
  }

  async replayEventsAfter(last, { send }) {
    const { stream } = this.#sent[Number(last)];
    for (const [id, event] of this.#sent.entries()) {
      if (id > Number(last) && event.stream === stream && event.message) await send(String(id), event.message);
    }
    return stream;
  }
}

notify = serveHttp({ build, eras, live, port, transport: { eventStore: new Events(), retryInterval: 200 } });
