// An OpenID provider on npm's oidc-provider: `node provider.mjs PORT jwt|opaque|nobody|plain [CALLBACK…]`. Whoever comes
// is alice, and consents: what a person would click is clicked here. With `jwt` and `opaque` it knows resource indicators
// (RFC 8707) and issues such tokens for the resource that was asked for; with `nobody` it issues tokens that are for
// nobody. With `plain` it knows one client, the gateway, and neither registration nor resources; and it tells groups in
// its UserInfo alone, as the standard has it.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [port, form, ...callbacks] = process.argv.slice(2);
const plain = form === "plain";
const issuer = `http://127.0.0.1:${port}`;
const gateway = {
  client_id: "gateway",
  client_secret: "gateway-secret",
  redirect_uris: [],
  response_types: [],
  grant_types: [],
  token_endpoint_auth_method: "client_secret_basic",
};
const doorward = {
  client_id: "doorward",
  client_secret: "doorward-secret-of-the-provider",
  redirect_uris: callbacks,
  post_logout_redirect_uris: callbacks.map((callback) => new URL("../", callback).href),
  response_types: ["code"],
  grant_types: ["authorization_code", "refresh_token"],
  token_endpoint_auth_method: "client_secret_basic",
};
const provider = new Provider(issuer, {
  clients: [plain ? doorward : gateway],
  claims: { openid: ["sub"], groups: ["groups"] },
  cookies: { keys: ["not a secret"] },
  pkce: { required: () => true },
  scopes: ["openid", "offline_access", "groups", "read", "write"],
  findAccount: async (_, id) => ({ accountId: id, claims: async () => ({ sub: id, groups: ["staff"] }) }),
  extraTokenClaims: async () => ({ groups: ["staff"] }),
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: !plain },
    revocation: { enabled: true },
    introspection: { enabled: !plain, allowedPolicy: async () => true },
    resourceIndicators: {
      enabled: form !== "nobody" && !plain,
      useGrantedResource: async () => true,
      getResourceServerInfo: async (_, resource) => ({
        scope: "read write",
        audience: resource,
        accessTokenFormat: form,
        accessTokenTTL: 300,
        ...(form === "jwt" && { jwt: { sign: { alg: "RS256" } } }),
      }),
    },
  },
  interactions: { url: (_, interaction) => `/interaction/${interaction.uid}` },
  clientDefaults: { token_endpoint_auth_method: "none" },
});

// Login and consent, without anybody to click.
async function interact(request, response) {
  const { prompt, params, session, grantId } = await provider.interactionDetails(request, response);
  if (prompt.name === "login") {
    return provider.interactionFinished(request, response, { login: { accountId: "alice" } });
  }
  const grant = grantId
    ? await provider.Grant.find(grantId)
    : new provider.Grant({ accountId: session.accountId, clientId: params.client_id });
  grant.addOIDCScope("openid offline_access groups read write");
  for (const [resource, scopes] of Object.entries(prompt.details.missingResourceScopes ?? {})) {
    grant.addResourceScope(resource, scopes.join(" "));
  }
  const consent = { grantId: await grant.save() };
  return provider.interactionFinished(request, response, { consent }, { mergeWithLastSubmission: true });
}

const answer = provider.callback();
createServer((request, response) => {
  if (request.url.startsWith("/interaction/")) {
    interact(request, response).catch((error) => {
      console.error(error);
      response.writeHead(500).end();
    });
  } else {
    answer(request, response);
  }
}).listen(Number(port), "127.0.0.1");
