// A server on @modelcontextprotocol/server 2.x: `node server2.mjs both|modern|stdio [PORT]`.
import { randomUUID } from "node:crypto";
import * as z from "zod/v4";
import { McpServer, ResourceTemplate, acceptedContent, completable, inputRequired } from "@modelcontextprotocol/server";
import { serveStdio } from "@modelcontextprotocol/server/stdio";
import { AUDIO, IMAGE, NAMES, QUESTION, SAMPLING, cancelled, pause, text, untilCancelled } from "./fixture.mjs";
import { serveHttp } from "./serve2.mjs";

const grown = [];
const [transport, port] = process.argv.slice(2);
let notify;

function build() {
  const server = new McpServer(
    { name: "ts2", version: "2" },
    { capabilities: { logging: {}, resources: { subscribe: true, listChanged: true }, tools: { listChanged: true }, completions: {} } },
  );
  const tool = (name, config, run) => server.registerTool(name, { description: name, inputSchema: z.object({}), ...config }, run);
  tool("echo", { inputSchema: z.object({ text: z.string() }) }, async ({ text: said }) => text(said));
  tool("structured", { outputSchema: z.object({ number: z.number(), word: z.string() }) }, async () => ({
    ...text('{"number":7,"word":"seven"}'),
    structuredContent: { number: 7, word: "seven" },
  }));
  tool("image", {}, async () => ({ content: [{ type: "image", data: IMAGE, mimeType: "image/png" }] }));
  tool("audio", {}, async () => ({ content: [{ type: "audio", data: AUDIO, mimeType: "audio/wav" }] }));
  tool("fail", {}, async () => ({ ...text("it failed"), isError: true }));
  tool("progress", {}, async (_, ctx) => {
    const progressToken = ctx.mcpReq._meta?.progressToken;
    for (let progress = 1; progress <= 3 && progressToken !== undefined; progress++) {
      await ctx.mcpReq.notify({ method: "notifications/progress", params: { progressToken, progress, total: 3 } });
      await pause(50);
    }
    return text("done");
  });
  tool("log", {}, async (_, ctx) => {
    await ctx.mcpReq.log("info", "a log line");
    return text("logged");
  });
  tool("slow", {}, async (_, ctx) => untilCancelled(ctx.mcpReq.signal));
  tool("cancelled", {}, async () => text(String(cancelled.count)));
  tool("elicit", {}, async (_, ctx) => {
    const answer = acceptedContent(ctx.mcpReq.inputResponses, "name", z.object({ name: z.string() }));
    if (!answer) return inputRequired({ inputRequests: { name: inputRequired.elicit(QUESTION) } });
    return text(`hello ${answer.name}`);
  });
  tool("sample", {}, async (_, ctx) => {
    const answer = ctx.mcpReq.inputResponses?.answer;
    if (!answer) return inputRequired({ inputRequests: { answer: inputRequired.createMessage(SAMPLING) } });
    return text(`said ${answer.content.text}`);
  });
  tool("roots", {}, async (_, ctx) => {
    const answer = ctx.mcpReq.inputResponses?.roots;
    if (!answer) return inputRequired({ inputRequests: { roots: inputRequired.listRoots() } });
    return text(answer.roots.map((root) => root.uri).join(" "));
  });
  tool("touch", {}, async () => {
    notify?.resourceUpdated("test://watched");
    for (const session of live) await session.server.sendResourceUpdated({ uri: "test://watched" }).catch(() => {});
    return text("touched");
  });
  tool("grow", {}, async () => {
    grown.push(`grown-${randomUUID()}`);
    notify?.toolsChanged();
    for (const session of live) session.registerTool(grown.at(-1), { inputSchema: z.object({}) }, async () => text("grown"));
    return text("grew");
  });
  for (const name of grown) tool(name, {}, async () => text("grown"));
  for (const name of ["static", "watched"]) {
    server.registerResource(name, `test://${name}`, { mimeType: "text/plain" }, async (uri) => ({
      contents: [{ uri: uri.href, mimeType: "text/plain", text: `content of ${name}` }],
    }));
  }
  server.registerResource("item", new ResourceTemplate("test://item/{id}", { list: undefined }), {}, async (uri, { id }) => ({
    contents: [{ uri: uri.href, text: `item ${id}` }],
  }));
  server.registerPrompt(
    "greet",
    { argsSchema: z.object({ name: completable(z.string(), (begun) => NAMES.filter((name) => name.startsWith(begun))) }) },
    ({ name }) => ({ messages: [{ role: "user", content: { type: "text", text: `Greet ${name}` } }] }),
  );
  server.server.setRequestHandler("resources/subscribe", async () => ({}));
  server.server.setRequestHandler("resources/unsubscribe", async () => ({}));
  return server;
}

// Servers that live as long as a session: of the handshake era, and the one of a pipe.
const live = new Set();

if (transport === "stdio") {
  serveStdio(() => {
    const server = build();
    live.add(server);
    return server;
  });
} else {
  notify = serveHttp({ build, eras: transport, live, port });
}
