// An OpenID provider on loopback: node provider.mjs PORT REDIRECT_URI
import Provider from "oidc-provider";

const [port, redirectUri] = process.argv.slice(2);
const client = {
  client_secret: "s3cret",
  redirect_uris: [redirectUri],
  grant_types: ["authorization_code"],
  response_types: ["code"],
};
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [
    { ...client, client_id: "basic", token_endpoint_auth_method: "client_secret_basic" },
    { ...client, client_id: "unverified", token_endpoint_auth_method: "client_secret_basic" },
  ],
  pkce: { required: () => true },
  cookies: { keys: ["test"] },
  claims: { openid: ["sub"], email: ["email", "email_verified"], profile: ["name", "preferred_username"] },
  findAccount: (context, id) => ({
    accountId: id,
    claims: () => ({
      sub: id,
      email: `${id}@example.com`,
      email_verified: context.oidc.client.clientId === "basic",
      name: `Name of ${id}`,
      preferred_username: id,
    }),
  }),
});
provider.listen(Number(port), "127.0.0.1", () => console.log("listening"));
