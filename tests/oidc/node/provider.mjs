// An OpenID provider on npm's oidc-provider: `node provider.mjs PORT jwt|opaque|nobody`. Whoever comes is alice, and
// consents: what a person would click is clicked here. With `jwt` and `opaque` it knows resource indicators (RFC 8707)
// and issues such tokens for the resource that was asked for; with `nobody` it issues tokens that are for nobody.
import { createServer } from "node:http";
import Provider from "oidc-provider";

const [port, form] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const gateway = {
  client_id: "gateway",
  client_secret: "gateway-secret",
  redirect_uris: [],
  response_types: [],
  grant_types: [],
  token_endpoint_auth_method: "client_secret_basic",
};
const provider = new Provider(issuer, {
  clients: [gateway],
  cookies: { keys: ["not a secret"] },
  pkce: { required: () => true },
  scopes: ["openid", "offline_access", "read", "write"],
  findAccount: async (_, id) => ({ accountId: id, claims: async () => ({ sub: id, groups: ["staff"] }) }),
  extraTokenClaims: async () => ({ groups: ["staff"] }),
  features: {
    devInteractions: { enabled: false },
    registration: { enabled: true },
    revocation: { enabled: true },
    introspection: { enabled: true, allowedPolicy: async () => true },
    resourceIndicators: {
      enabled: form !== "nobody",
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
  grant.addOIDCScope("openid offline_access read write");
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
