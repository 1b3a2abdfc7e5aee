// Serving on @modelcontextprotocol/server 2.x over HTTP: both eras on one endpoint, or one of them.
import { randomUUID } from "node:crypto";
import express from "express";
import { NodeStreamableHTTPServerTransport, toNodeHandler } from "@modelcontextprotocol/node";
import {
  classifyInboundRequest,
  createMcpHandler,
  isInitializeRequest,
  localhostAllowedHostnames,
  validateHostHeader,
} from "@modelcontextprotocol/server";

const refusal = (id, code, message, data) => ({ jsonrpc: "2.0", id: id ?? null, error: { code, message, data } });

/**
 * Serves what `build` makes, at `/mcp`. `eras` is `both`, `modern` or `legacy`; `live` holds the
 * servers of the handshake era's sessions; `transport` is what their transports are given. Returns
 * the modern era's notifier, if there is one.
 */
export function serveHttp({ build, eras, live, port, transport = {} }) {
  const handler = eras === "legacy" ? undefined : createMcpHandler(build, { legacy: "reject" });
  const modern = handler && toNodeHandler(handler);
  const sessions = new Map();
  const app = express();
  app.use((request, response, next) => {
    const host = validateHostHeader(request.headers.host, localhostAllowedHostnames());
    return host.ok ? next() : response.status(403).json(refusal(null, -32000, host.message));
  });
  app.use(express.json({ limit: "20mb" }));
  app.all("/mcp", async (request, response) => {
    const inbound = classifyInboundRequest({
      httpMethod: request.method,
      protocolVersionHeader: request.headers["mcp-protocol-version"],
      mcpMethodHeader: request.headers["mcp-method"],
      body: request.body,
    });
    const { id } = request.body ?? {};
    if (eras !== "legacy" && (eras === "modern" || inbound.kind !== "legacy")) {
      return modern(request, response, request.body);
    }
    const known = request.headers["mcp-session-id"];
    let session = known && sessions.get(known);
    if (!session && !known && isInitializeRequest(request.body)) {
      const server = build({ era: "legacy" });
      session = new NodeStreamableHTTPServerTransport({
        sessionIdGenerator: randomUUID,
        onsessioninitialized: (minted) => sessions.set(minted, session),
        ...transport,
      });
      session.onclose = () => {
        sessions.delete(session.sessionId);
        live.delete(server);
      };
      live.add(server);
      await server.connect(session);
    }
    if (!session) return response.status(known ? 404 : 400).json(refusal(id, -32000, "no session"));
    await session.handleRequest(request, response, request.body);
  });
  app.listen(Number(port), "127.0.0.1");
  return handler?.notify;
}
