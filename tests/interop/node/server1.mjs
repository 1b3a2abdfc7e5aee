// A server on @modelcontextprotocol/sdk 1.x: `node server1.mjs http|sse|stdio [PORT]`.
import { randomUUID } from "node:crypto";
import express from "express";
import * as z from "zod";
import { McpServer, ResourceTemplate } from "@modelcontextprotocol/sdk/server/mcp.js";
import { SSEServerTransport } from "@modelcontextprotocol/sdk/server/sse.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { completable } from "@modelcontextprotocol/sdk/server/completable.js";
import {
  CreateMessageResultSchema,
  ElicitResultSchema,
  ListRootsResultSchema,
  SubscribeRequestSchema,
  UnsubscribeRequestSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { AUDIO, IMAGE, NAMES, QUESTION, SAMPLING, cancelled, pause, text, untilCancelled } from "./fixture.mjs";

function build() {
  const server = new McpServer(
    { name: "ts1", version: "1" },
    { capabilities: { logging: {}, resources: { subscribe: true, listChanged: true }, tools: { listChanged: true }, completions: {} } },
  );
  const tool = (name, config, run) => server.registerTool(name, { description: name, ...config }, run);
  tool("echo", { inputSchema: { text: z.string() } }, async ({ text: said }) => text(said));
  tool("structured", { outputSchema: { number: z.number(), word: z.string() } }, async () => ({
    ...text('{"number":7,"word":"seven"}'),
    structuredContent: { number: 7, word: "seven" },
  }));
  tool("image", {}, async () => ({ content: [{ type: "image", data: IMAGE, mimeType: "image/png" }] }));
  tool("audio", {}, async () => ({ content: [{ type: "audio", data: AUDIO, mimeType: "audio/wav" }] }));
  tool("fail", {}, async () => ({ ...text("it failed"), isError: true }));
  tool("progress", {}, async (extra) => {
    const progressToken = extra._meta?.progressToken;
    for (let progress = 1; progress <= 3 && progressToken !== undefined; progress++) {
      await extra.sendNotification({ method: "notifications/progress", params: { progressToken, progress, total: 3 } });
      await pause(50);
    }
    return text("done");
  });
  tool("log", {}, async (extra) => {
    await extra.sendNotification({ method: "notifications/message", params: { level: "info", data: "a log line" } });
    return text("logged");
  });
  tool("slow", {}, async (extra) => untilCancelled(extra.signal));
  tool("cancelled", {}, async () => text(String(cancelled.count)));
  tool("elicit", {}, async (extra) => {
    const answer = await extra.sendRequest({ method: "elicitation/create", params: { mode: "form", ...QUESTION } }, ElicitResultSchema);
    return text(`hello ${answer.content?.name}`);
  });
  tool("sample", {}, async (extra) => {
    const answer = await extra.sendRequest({ method: "sampling/createMessage", params: SAMPLING }, CreateMessageResultSchema);
    return text(`said ${answer.content.text}`);
  });
  tool("roots", {}, async (extra) => {
    const answer = await extra.sendRequest({ method: "roots/list" }, ListRootsResultSchema);
    return text(answer.roots.map((root) => root.uri).join(" "));
  });
  tool("touch", {}, async () => {
    await server.server.sendResourceUpdated({ uri: "test://watched" });
    return text("touched");
  });
  tool("grow", {}, async () => {
    tool(`grown-${randomUUID()}`, {}, async () => text("grown"));
    return text("grew");
  });
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
    { argsSchema: { name: completable(z.string(), (begun) => NAMES.filter((name) => name.startsWith(begun))) } },
    ({ name }) => ({ messages: [{ role: "user", content: { type: "text", text: `Greet ${name}` } }] }),
  );
  server.server.setRequestHandler(SubscribeRequestSchema, async () => ({}));
  server.server.setRequestHandler(UnsubscribeRequestSchema, async () => ({}));
  return server;
}

const [transport, port] = process.argv.slice(2);
const app = express();
app.use(express.json({ limit: "20mb" }));
const sessions = new Map();
if (transport === "stdio") {
  await build().connect(new StdioServerTransport());
} else if (transport === "http") {
  app.all("/mcp", async (request, response) => {
    const id = request.headers["mcp-session-id"];
    let session = id && sessions.get(id);
    if (!session && request.method === "POST" && request.body?.method === "initialize") {
      session = new StreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (id) => sessions.set(id, session),
      });
      session.onclose = () => sessions.delete(session.sessionId);
      await build().connect(session);
    }
    if (!session) {
      return response.status(id ? 404 : 400).json({ jsonrpc: "2.0", id: null, error: { code: -32000, message: "no session" } });
    }
    await session.handleRequest(request, response, request.body);
  });
  app.listen(Number(port), "127.0.0.1");
} else {
  app.get("/sse", async (_request, response) => {
    const session = new SSEServerTransport("/messages", response);
    sessions.set(session.sessionId, session);
    response.on("close", () => sessions.delete(session.sessionId));
    await build().connect(session);
  });
  app.post("/messages", async (request, response) => {
    const session = sessions.get(request.query.sessionId);
    if (!session) return response.status(404).end();
    await session.handlePostMessage(request, response, request.body);
  });
  app.listen(Number(port), "127.0.0.1");
}
