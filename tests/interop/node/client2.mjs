// A client on @modelcontextprotocol/client 2.x: `node client2.mjs legacy|modern http|sse URL` or
// `… stdio COMMAND ARGS…`.
import { Client, SSEClientTransport, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { StdioClientTransport } from "@modelcontextprotocol/client/stdio";
import { inbox, tryAll } from "./features.mjs";

const [era, kind, target, ...args] = process.argv.slice(2);
const mode = era === "modern" ? { pin: "2026-07-28" } : "legacy";
const client = new Client(
  { name: "client2", version: "2" },
  { capabilities: { elicitation: { form: {} }, sampling: {}, roots: { listChanged: true } }, versionNegotiation: { mode } },
);
const { next, tell } = inbox();
client.setRequestHandler("elicitation/create", async () => ({ action: "accept", content: { name: "Tester" } }));
client.setRequestHandler("sampling/createMessage", async () => ({
  role: "assistant",
  model: "test",
  content: { type: "text", text: "pong" },
}));
client.setRequestHandler("roots/list", async () => ({ roots: [{ uri: "file:///project" }] }));
client.setNotificationHandler("notifications/message", ({ params }) => tell("log", params.data));
client.setNotificationHandler("notifications/resources/updated", ({ params }) => tell("update", params.uri));
client.setNotificationHandler("notifications/tools/list_changed", () => tell("tools"));
const transport = {
  http: () => new StreamableHTTPClientTransport(new URL(target)),
  sse: () => new SSEClientTransport(new URL(target)),
  stdio: () => new StdioClientTransport({ command: target, args }),
}[kind]();
await client.connect(transport);
const modern = era === "modern";
if (!modern) await client.setLoggingLevel("debug");
const logged = modern ? { _meta: { "io.modelcontextprotocol/logLevel": "debug" } } : {};
await tryAll({
  next,
  tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
  call: (name, args, options) => client.callTool({ name, arguments: args, ...logged }, options),
  read: async (uri) => (await client.readResource({ uri })).contents,
  templates: async () => (await client.listResourceTemplates()).resourceTemplates.map((one) => one.uriTemplate),
  subscribe: (uri) => (modern ? client.listen({ resourceSubscriptions: [uri] }) : client.subscribeResource({ uri })),
  watch: async () => modern && client.listen({ toolsListChanged: true }),
  prompt: async (name, args) => (await client.getPrompt({ name, arguments: args })).messages,
  complete: async (name, argument, value) =>
    (await client.complete({ ref: { type: "ref/prompt", name }, argument: { name: argument, value } })).completion.values,
});
await client.close();
process.exit(0);
