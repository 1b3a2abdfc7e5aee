// A client that knows nothing but an URL, and logs in by itself: `node login.mjs 1|2 URL`. What it does is the SDK's
// own doing; only the browser is made here. Prints what it learnt, as JSON.
const { visit } = await import(process.env.CHROMIUM ? "./chromium.mjs" : "./browser.mjs");

const [major, target] = process.argv.slice(2);
const redirect = "http://127.0.0.1:7399/callback";
const kept = {};
const told = { redirects: [] };
let landed;
const authProvider = {
  get redirectUrl() {
    return redirect;
  },
  get clientMetadata() {
    return {
      client_name: "tester",
      redirect_uris: [redirect],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "none",
    };
  },
  clientMetadataUrl: process.env.CLIENT_DOCUMENT,
  state: () => "a-state",
  clientInformation: () => kept.client,
  saveClientInformation: (client) => void (kept.client = client),
  tokens: () => kept.tokens,
  saveTokens: (tokens) => void (kept.tokens = tokens),
  codeVerifier: () => kept.verifier,
  saveCodeVerifier: (verifier) => void (kept.verifier = verifier),
  async redirectToAuthorization(url) {
    told.redirects.push(Object.fromEntries(new URL(url).searchParams));
    landed = await visit(new URL(url), redirect);
    if (landed.searchParams.has("error")) console.error(`${url}\n${landed}`);
  },
};

const { Client, Transport, Unauthorized, options } = await load();
async function load() {
  if (major === "1") {
    const [{ Client }, transport, auth] = await Promise.all([
      import("@modelcontextprotocol/sdk/client/index.js"),
      import("@modelcontextprotocol/sdk/client/streamableHttp.js"),
      import("@modelcontextprotocol/sdk/client/auth.js"),
    ]);
    return { Client, Transport: transport.StreamableHTTPClientTransport, Unauthorized: auth.UnauthorizedError };
  }
  const sdk = await import("@modelcontextprotocol/client");
  return { Client: sdk.Client, Transport: sdk.StreamableHTTPClientTransport, Unauthorized: sdk.UnauthorizedError };
}

async function connect() {
  const transport = new Transport(new URL(target), { authProvider });
  const client = new Client({ name: "tester", version: "1" }, options);
  try {
    await client.connect(transport);
    return client;
  } catch (error) {
    if (!(error instanceof Unauthorized)) throw error;
    await (major === "1"
      ? transport.finishAuth(landed.searchParams.get("code"))
      : transport.finishAuth(landed.searchParams));
    return null;
  }
}

const client = (await connect()) ?? (await connect());
const { tools } = await client.listTools();
told.tools = tools.map((tool) => tool.name);
const result = await client.callTool({ name: "sample__add", arguments: { a: 20, b: 3 } });
told.sum = result.content[0].text;
told.scope = kept.tokens.scope;
await client.close();
console.log(JSON.stringify(told));
process.exit(0);
