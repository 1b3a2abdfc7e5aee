// A browser with nobody before it: follows redirects, keeps cookies, and consents, until it is sent to the client's own
// address.
export async function visit(url, until) {
  const cookies = new Map();
  let request = {};
  for (let hop = 0; hop < 20; hop += 1) {
    if (url.href.startsWith(until)) return url;
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const headers = { ...request.headers, ...(cookie && { cookie }) };
    const response = await fetch(url, { ...request, redirect: "manual", headers });
    for (const set of response.headers.getSetCookie()) {
      const [pair] = set.split(";");
      const at = pair.indexOf("=");
      cookies.set(pair.slice(0, at), pair.slice(at + 1));
    }
    const location = response.headers.get("location");
    request = {};
    if (location) {
      url = new URL(location, url);
      continue;
    }
    const page = await response.text();
    const form = page.match(/action="(\/oauth\/consent)">.*name="request" value="([^"]+)"/);
    if (!form) throw new Error(`${url}: ${response.status} ${page}`);
    const body = new URLSearchParams({ request: form[2], decision: "allow" });
    request = { method: "POST", body, headers: { origin: url.origin } };
    url = new URL(form[1], url);
  }
  throw new Error("too many redirects");
}
