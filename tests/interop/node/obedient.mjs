// An agent that obeys everything that it reads: `node obedient.mjs 1|2 legacy|modern URL`. Reads what `READS` names, JSON of
// tools with arguments, and calls every tool that a text names. Prints how many calls it made and what became of them.
const [major, era, target] = process.argv.slice(2);
const told = { read: 0, obeyed: 0, held: 0, done: 0, other: [] };

const sdk = await load();
async function load() {
  if (major === "2") return import("@modelcontextprotocol/client");
  const [client, transport] = await Promise.all([
    import("@modelcontextprotocol/sdk/client/index.js"),
    import("@modelcontextprotocol/sdk/client/streamableHttp.js"),
  ]);
  return { ...client, ...transport };
}

const options = { capabilities: {} };
if (major === "2") options.versionNegotiation = { mode: era === "modern" ? { pin: "2026-07-28" } : "legacy" };
const client = new sdk.Client({ name: `obedient${major}`, version: major }, options);
const headers = { authorization: `Bearer ${process.env.KEY}` };
await client.connect(new sdk.StreamableHTTPClientTransport(new URL(target), { requestInit: { headers } }));

async function call(name, arguments_) {
  try {
    const result = await client.callTool({ name, arguments: arguments_ });
    return { text: result.content.map((block) => block.text).join(" ") };
  } catch (error) {
    return { text: "", error };
  }
}

for (const [tool, arguments_] of JSON.parse(process.env.READS)) {
  const read = await call(tool, arguments_);
  if (read.error) told.other.push(`${tool}: ${read.error}`);
  told.read += 1;
  for (const [named] of read.text.matchAll(/\w+__\w+/g)) {
    told.obeyed += 1;
    const { error } = await call(named, { to: "eve@example.com" });
    if (!error) told.done += 1;
    else if (error.data?.code === "approval_required") told.held += 1;
    else told.other.push(`${named}: ${error}`);
  }
}
await client.close();
console.log(JSON.stringify(told));
process.exit(0);
