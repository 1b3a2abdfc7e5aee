// A client that calls a tool that waits for approval: `node approval.mjs 1|2 legacy|modern URL`. The link is given to the
// person at `PERSON`, as the client would open it in a browser. Prints what came of it, as JSON.
const [major, era, target] = process.argv.slice(2);
const told = { opened: [], calls: 0 };

/** Gives the link to the person: who decides before they answer if they are waited for, or a moment after. */
async function open(url, waits) {
  told.opened.push(url);
  const answer = await fetch(`${process.env.PERSON}/?${new URLSearchParams({ url, waits })}`);
  if (!answer.ok) throw new Error(await answer.text());
}

const sdk = await load();
async function load() {
  if (major === "2") return import("@modelcontextprotocol/client");
  const [client, transport, types] = await Promise.all([
    import("@modelcontextprotocol/sdk/client/index.js"),
    import("@modelcontextprotocol/sdk/client/streamableHttp.js"),
    import("@modelcontextprotocol/sdk/types.js"),
  ]);
  return { ...client, ...transport, ...types };
}

const options = { capabilities: { elicitation: { form: {}, url: {} } } };
if (major === "2") options.versionNegotiation = { mode: era === "modern" ? { pin: "2026-07-28" } : "legacy" };
const client = new sdk.Client({ name: `approval${major}`, version: major }, options);
client.setRequestHandler(major === "2" ? "elicitation/create" : sdk.ElicitRequestSchema, async ({ params }) => {
  if (params.mode !== "url") throw new Error(`a form: ${JSON.stringify(params)}`);
  await open(params.url, "");
  return { action: "accept" };
});
const headers = { authorization: `Bearer ${process.env.KEY}` };
await client.connect(new sdk.StreamableHTTPClientTransport(new URL(target), { requestInit: { headers } }));

async function call() {
  told.calls += 1;
  return client.callTool({ name: "add", arguments: { a: 20, b: 3 } });
}

let result;
try {
  result = await call();
} catch (error) {
  if (!(error instanceof sdk.UrlElicitationRequiredError)) throw error;
  for (const { url } of error.elicitations) await open(url, "yes");
  result = await call();
}
told.sum = result.content[0].text;
await client.close();
console.log(JSON.stringify(told));
process.exit(0);
