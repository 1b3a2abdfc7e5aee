// The conformance suite's client on @modelcontextprotocol/client 2.x: `node suite-client2.mjs URL`.
// Lists everything, calls every tool, answers what it is asked.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";

const scenario = process.env.MCP_CONFORMANCE_SCENARIO;
const { toolCalls } = JSON.parse(process.env.MCP_CONFORMANCE_CONTEXT ?? "{}");
const legacy = ["initialize", "elicitation-sep1034-client-defaults", "sse-retry"].includes(scenario)
  || process.env.MCP_CONFORMANCE_PROTOCOL_VERSION === "2025-11-25";
const client = new Client(
  { name: "suite-client2", version: "1" },
  {
    capabilities: { elicitation: { form: { applyDefaults: true } }, sampling: {}, roots: { listChanged: true } },
    versionNegotiation: { mode: legacy ? "legacy" : { pin: "2026-07-28" } },
  },
);
client.setRequestHandler("elicitation/create", async () => ({ action: "accept", content: {} }));
client.setRequestHandler("sampling/createMessage", async () => ({
  role: "assistant",
  model: "test",
  content: { type: "text", text: "pong" },
}));
client.setRequestHandler("roots/list", async () => ({ roots: [{ uri: "file:///project" }] }));
await client.connect(new StreamableHTTPClientTransport(new URL(process.argv[2])));

/** What a schema asks for, with something of each type. */
const example = ({ properties = {}, required = [] }) =>
  Object.fromEntries(
    required.map((name) => {
      const type = properties[name]?.type;
      return [name, type === "number" || type === "integer" ? 2 : type === "boolean" ? true : "words"];
    }),
  );

const can = client.getServerCapabilities() ?? {};
const tolerant = (promise) => promise.catch((error) => console.error(String(error)));
const { tools } = can.tools ? await client.listTools() : { tools: [] };
for (const call of toolCalls ?? []) await tolerant(client.callTool(call));
for (const tool of toolCalls ? [] : tools) {
  const args = tool.name === "json_schema_echo" ? { schema: tools[0].inputSchema } : example(tool.inputSchema);
  await tolerant(client.callTool({ name: tool.name, arguments: args }));
}
if (can.resources) {
  const { resources } = (await tolerant(client.listResources())) ?? { resources: [] };
  for (const { uri } of resources) await tolerant(client.readResource({ uri }));
}
if (can.prompts) {
  const { prompts } = (await tolerant(client.listPrompts())) ?? { prompts: [] };
  for (const { name } of prompts) await tolerant(client.getPrompt({ name, arguments: {} }));
}
await client.close();
process.exit(0);
