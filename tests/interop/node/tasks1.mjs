// A server of 2025-11-25 whose tools run as tasks, on @modelcontextprotocol/sdk 1.x:
// `node tasks1.mjs http PORT`, or `… stdio`. Its tools are those that the conformance suite wants.
import { randomUUID } from "node:crypto";
import express from "express";
import * as z from "zod/v4";
import { InMemoryTaskMessageQueue, InMemoryTaskStore } from "@modelcontextprotocol/sdk/experimental/tasks/stores/in-memory.js";
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { StdioServerTransport } from "@modelcontextprotocol/sdk/server/stdio.js";
import { StreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/streamableHttp.js";
import { McpError, isInitializeRequest } from "@modelcontextprotocol/sdk/types.js";
import { pause, text } from "./fixture.mjs";

const [transport, port] = process.argv.slice(2);
const taskStore = new InMemoryTaskStore();
const taskMessageQueue = new InMemoryTaskMessageQueue();

const question = (message, name, type) => ({
  mode: "form",
  message,
  requestedSchema: { type: "object", properties: { [name]: { type } }, required: [name] },
});

function build() {
  const server = new McpServer(
    { name: "tasks1", version: "1" },
    {
      capabilities: { tools: {}, tasks: { list: {}, cancel: {}, requests: { tools: { call: {} } } } },
      taskStore,
      taskMessageQueue,
    },
  );
  const settled = (status) => ["completed", "failed", "cancelled"].includes(status);

  /** A tool that runs as a task: `work` does it, `before` comes before the task is there. */
  function task(name, taskSupport, work, { inputSchema = {}, before = async () => {} } = {}) {
    const handler = {
      createTask: async (args, extra) => {
        const prepared = await before(extra);
        const created = await extra.taskStore.createTask({ ttl: 60_000, pollInterval: 200 });
        const { taskId } = created;
        const store = extra.taskStore;
        /** Asks the client, by way of whoever waits for the task's result. */
        const ask = async (params) => {
          await store.updateTaskStatus(taskId, "input_required");
          const answer = await server.server.elicitInput(params, { relatedTask: { taskId } });
          if (!settled((await store.getTask(taskId)).status)) await store.updateTaskStatus(taskId, "working");
          return answer;
        };
        work(args, { ask, prepared })
          .then(async (result) => {
            if (settled((await store.getTask(taskId)).status)) return;
            await store.storeTaskResult(taskId, result.isError || result.fails ? "failed" : "completed", result);
          })
          .catch((error) => store.storeTaskResult(taskId, "failed", { ...text(String(error)), fails: true }));
        return { task: created };
      },
      getTask: async (_, { taskId, taskStore }) => taskStore.getTask(taskId),
      getTaskResult: async (_, { taskId, taskStore }) => taskStore.getTaskResult(taskId),
    };
    server.experimental.tasks.registerToolTask(name, { description: name, inputSchema, execution: { taskSupport } }, handler);
  }

  server.registerTool("greet", { description: "greet", inputSchema: { name: z.string() } }, async ({ name }) => text(`Hello, ${name}!`));
  task(
    "slow_compute",
    "optional",
    async ({ seconds }) => {
      await pause((seconds ?? 1) * 1000);
      return text("computed");
    },
    { inputSchema: { seconds: z.number().optional(), label: z.string().optional() } },
  );
  task("failing_job", "required", async () => {
    await pause(500);
    return { ...text("the job went wrong"), isError: true };
  });
  task("protocol_error_job", "optional", async () => {
    await pause(200);
    return { ...text("this job always fails"), fails: true };
  });
  task(
    "confirm_delete",
    "required",
    async (_, { ask }) => {
      const answer = await ask(question("Delete it?", "confirm", "boolean"));
      return text(`confirmed: ${answer.content?.confirm}`);
    },
    { inputSchema: { filename: z.string().optional() } },
  );
  task("multi_input", "required", async (_, { ask }) => {
    const [first, second] = await Promise.all([
      ask(question("The first name?", "name", "string")),
      ask(question("The second name?", "name", "string")),
    ]);
    return text(`${first.content?.name} and ${second.content?.name}`);
  });
  task("test_tool_with_task", "required", async (_, { prepared }) => text(`Hello, ${prepared.content?.name}!`), {
    before: (extra) =>
      extra.sendRequest({ method: "elicitation/create", params: question("What is your name?", "name", "string") }, z.looseObject({})),
  });
  // The task that fails ends with a JSON-RPC error, as a call does that fails in this way.
  const tasksResult = server.server._requestHandlers.get("tasks/result");
  server.server._requestHandlers.set("tasks/result", async (request, extra) => {
    const result = await tasksResult(request, extra);
    if (result.fails) throw new McpError(-32603, "this job always fails");
    return result;
  });
  return server;
}

if (transport === "stdio") {
  await build().connect(new StdioServerTransport());
} else {
  const sessions = new Map();
  const app = express();
  app.use(express.json());
  app.all("/mcp", async (request, response) => {
    const id = request.headers["mcp-session-id"];
    let session = id && sessions.get(id);
    if (!session && !id && isInitializeRequest(request.body)) {
      session = new StreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (minted) => sessions.set(minted, session),
      });
      await build().connect(session);
    }
    if (!session) {
      return response.status(id ? 404 : 400).json({ jsonrpc: "2.0", id: null, error: { code: -32000, message: "no session" } });
    }
    await session.handleRequest(request, response, request.body);
  });
  app.listen(Number(port), "127.0.0.1");
}
