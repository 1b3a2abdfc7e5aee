// A client on @modelcontextprotocol/sdk 1.x: `node client1.mjs http|sse URL` or `… stdio COMMAND ARGS…`.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ResourceUpdatedNotificationSchema,
  ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { inbox, tryAll } from "./features.mjs";

const [kind, target, ...args] = process.argv.slice(2);
const client = new Client(
  { name: "client1", version: "1" },
  { capabilities: { elicitation: { form: {} }, sampling: {}, roots: { listChanged: true } } },
);
const { next, tell } = inbox();
client.setRequestHandler(ElicitRequestSchema, async () => ({ action: "accept", content: { name: "Tester" } }));
client.setRequestHandler(CreateMessageRequestSchema, async () => ({
  role: "assistant",
  model: "test",
  content: { type: "text", text: "pong" },
}));
client.setRequestHandler(ListRootsRequestSchema, async () => ({ roots: [{ uri: "file:///project" }] }));
client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => tell("log", params.data));
client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => tell("update", params.uri));
client.setNotificationHandler(ToolListChangedNotificationSchema, () => tell("tools"));
const transport = {
  http: () => new StreamableHTTPClientTransport(new URL(target)),
  sse: () => new SSEClientTransport(new URL(target)),
  stdio: () => new StdioClientTransport({ command: target, args }),
}[kind]();
await client.connect(transport);
await client.setLoggingLevel("debug");
await tryAll({
  next,
  tools: async () => (await client.listTools()).tools.map((tool) => tool.name),
  call: (name, args, options) => client.callTool({ name, arguments: args }, undefined, options),
  read: async (uri) => (await client.readResource({ uri })).contents,
  templates: async () => (await client.listResourceTemplates()).resourceTemplates.map((one) => one.uriTemplate),
  subscribe: (uri) => client.subscribeResource({ uri }),
  watch: async () => {},
  prompt: async (name, args) => (await client.getPrompt({ name, arguments: args })).messages,
  complete: async (name, argument, value) =>
    (await client.complete({ ref: { type: "ref/prompt", name }, argument: { name: argument, value } })).completion.values,
});
await client.close();
process.exit(0);
