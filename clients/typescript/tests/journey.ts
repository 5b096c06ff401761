/** What an application does, against a running server: `make test-client`. */
import assert from "node:assert/strict";

import {
  createClient,
  inMemory,
  isValidationProblem,
  MfaRequiredError,
  ProblemError,
  unwrap,
  type Problem,
  type TokenPair,
  type TokenStore,
} from "../src/client.js";
import { Browser } from "./cookies.js";
import { makeCode } from "./totp.js";

const PASSWORD = "Correct-Horse-7";
const PEOPLE = 7;

interface Journey {
  client: ReturnType<typeof createClient>;
  tokens: TokenStore;
  /** The paths that were asked for. */
  asked: string[];
}

function begin(answer: (request: Request) => Promise<Response> = (request) => fetch(request)): Journey {
  const asked: string[] = [];
  const tokens = inMemory();
  const client = createClient({
    baseUrl: setting("API"),
    tokens,
    fetch: (request) => {
      asked.push(new URL(request.url).pathname);
      return answer(request);
    },
  });
  return { client, tokens, asked };
}

function setting(name: string): string {
  const value = process.env[name];
  assert(value !== undefined, `${name} is not set`);
  return value;
}

async function register(username: string): Promise<string> {
  const email = `${username}@example.com`;
  const { client } = begin();
  const body = { email, username, password: PASSWORD };
  const user = await unwrap(client.api.POST("/api/v1/auth/register", { body }));
  assert.equal(user.email, email);
  return email;
}

async function signedIn(username: string): Promise<Journey> {
  const email = await register(username);
  const journey = begin();
  await journey.client.signIn({ email, password: PASSWORD });
  return journey;
}

/** As if its time had come: the server's answer to it is the same. */
function spoil({ tokens }: Journey): TokenPair {
  const held = tokens.get();
  assert(held !== null);
  tokens.set({ ...held, access_token: "spoiled" });
  return held;
}

async function until(holds: () => boolean): Promise<void> {
  do await new Promise((go) => setTimeout(go, 50));
  while (!holds());
}

function refreshes({ asked }: Journey): number {
  return asked.filter((path) => path.endsWith("/auth/refresh")).length;
}

async function refusal(act: () => Promise<unknown>): Promise<Problem> {
  try {
    await act();
  } catch (error) {
    assert(error instanceof ProblemError);
    return error.problem;
  }
  assert.fail("it was not refused");
}

async function signedInByCookie(username: string): Promise<[ReturnType<typeof createClient>, Browser]> {
  const email = await register(username);
  const browser = new Browser();
  const client = createClient({ baseUrl: setting("API"), transport: "cookie", fetch: browser.fetch });
  await client.signIn({ email, password: PASSWORD });
  return [client, browser];
}

const journeys: Record<string, () => Promise<void>> = {
  async "signs in, says who that is, and signs out"() {
    const { client, tokens } = await signedIn("ann");
    const held = tokens.get();
    const me = await unwrap(client.api.GET("/api/v1/users/me"));
    assert.equal(me.username, "ann");
    await client.signOut();
    assert.equal(tokens.get(), null);
    tokens.set(held);
    const after = await refusal(() => unwrap(client.api.GET("/api/v1/users/me")));
    assert.equal(after.code, "unauthenticated");
    assert.equal(tokens.get(), null, "a session that has ended is forgotten");
  },

  async "a wrong password is a problem, and refreshes nothing"() {
    const journey = await signedIn("bob");
    const wrong = { email: "bob@example.com", password: "Wrong-Horse-7" };
    const problem = await refusal(() => journey.client.signIn(wrong));
    assert.deepEqual([problem.status, problem.code], [401, "wrong_credentials"]);
    assert.equal(refreshes(journey), 0);
  },

  async "a field that does not hold is named"() {
    const { api } = begin().client;
    const body = { email: "nobody", username: "nobody", password: PASSWORD };
    const { error } = await api.POST("/api/v1/auth/register", { body });
    assert(error !== undefined && isValidationProblem(error));
    assert.deepEqual(error.errors[0]?.loc, ["body", "email"]);
  },

  async "two requests at once with an old token cause one refresh, and both are answered"() {
    let refused = 0;
    const journey = begin(async (request) => {
      if (request.url.endsWith("/auth/refresh")) await until(() => refused === 2);
      const response = await fetch(request);
      if (response.status === 401) refused += 1;
      return response;
    });
    await journey.client.signIn({ email: await register("carla"), password: PASSWORD });
    const held = spoil(journey);
    const { api } = journey.client;
    const [me, changed] = await Promise.all([
      unwrap(api.GET("/api/v1/users/me")),
      unwrap(api.PATCH("/api/v1/users/me", { body: { full_name: "Carla" } })), // its body is sent twice
    ]);
    assert.deepEqual([me.username, changed.full_name], ["carla", "Carla"]);
    assert.equal(refreshes(journey), 1);
    const renewed = journey.tokens.get();
    assert(renewed !== null && renewed.refresh_token !== held.refresh_token);
    await unwrap(api.GET("/api/v1/users/me"));
    assert.equal(refreshes(journey), 1);
  },

  async "a refusal that comes after another's refresh does not refresh again"() {
    let delayed: Promise<unknown> = Promise.resolve();
    const journey = begin(async (request) => {
      const response = await fetch(request);
      if (request.url.endsWith("/sessions") && response.status === 401) await delayed;
      return response;
    });
    await journey.client.signIn({ email: await register("dmitri"), password: PASSWORD });
    spoil(journey);
    const { api } = journey.client;
    delayed = unwrap(api.GET("/api/v1/users/me"));
    const sessions = await unwrap(api.GET("/api/v1/users/me/sessions"));
    assert.equal(sessions.length, 1);
    assert.equal(refreshes(journey), 1);
  },

  async "a refresh that is told to wait leaves the session as it is"() {
    const away = { type: "about:blank", title: "", status: 503, detail: "Away", code: "unavailable", request_id: null };
    const journey = begin((request) =>
      request.url.endsWith("/auth/refresh")
        ? Promise.resolve(Response.json(away, { status: 503 }))
        : fetch(request),
    );
    await journey.client.signIn({ email: await register("emre"), password: PASSWORD });
    spoil(journey);
    const { api } = journey.client;
    const problem = await refusal(() => unwrap(api.GET("/api/v1/users/me")));
    assert.equal(problem.code, "unavailable");
    assert.equal(refreshes(journey), 1);
    assert.notEqual(journey.tokens.get(), null);
  },

  async "who signs out while a refresh is under way stays signed out"() {
    const journey = begin(async (request) => {
      const response = await fetch(request);
      if (request.url.endsWith("/auth/refresh")) journey.tokens.set(null);
      return response;
    });
    await journey.client.signIn({ email: await register("fatima"), password: PASSWORD });
    spoil(journey);
    await refusal(() => unwrap(journey.client.api.GET("/api/v1/users/me")));
    assert.equal(journey.tokens.get(), null);
  },

  async "an answer that is no problem document is one here"() {
    const { client } = begin(() => Promise.resolve(new Response("<h1>Bad Gateway</h1>", { status: 502 })));
    const problem = await refusal(() => unwrap(client.api.GET("/api/v1/health")));
    assert.deepEqual([problem.status, problem.code], [502, "unknown"]);
  },

  async "all pages to the end, also when the token ends on the way"() {
    for (let n = 0; n < PEOPLE; n += 1) await register(`reader-${n}`);
    const journey = begin();
    await journey.client.signIn({ email: setting("SUPERUSER"), password: PASSWORD });
    const wanted = { query: { limit: 3, sort: "username", q: "reader-", is_active: [true] } };
    const usernames: string[] = [];
    let pages = 0;
    for await (const page of journey.client.pages("/api/v1/users/", wanted)) {
      usernames.push(...page.items.map((user) => user.username));
      if ((pages += 1) === 1) spoil(journey);
    }
    assert.deepEqual(usernames, Array.from({ length: PEOPLE }, (_, n) => `reader-${n}`));
    assert.equal(pages, 3);
    assert.equal(refreshes(journey), 1);
  },

  async "a session in cookies: no token is visible, and changes have the CSRF token"() {
    const [{ api, signOut }, browser] = await signedInByCookie("heidi");
    assert.equal((await unwrap(api.GET("/api/v1/users/me"))).username, "heidi");
    const changed = await unwrap(api.PATCH("/api/v1/users/me", { body: { full_name: "Heidi" } }));
    assert.equal(changed.full_name, "Heidi");
    await unwrap(api.PATCH("/api/v1/users/me", { body: { full_name: "Heidi K." } }));
    assert.equal(browser.count("/auth/cookies/csrf"), 1);
    assert(browser.sent.every((request) => !request.headers.has("Authorization")));
    await signOut();
    assert(!browser.jar.has("plinth_access"));
    const after = await refusal(() => unwrap(api.GET("/api/v1/users/me")));
    assert.equal(after.code, "unauthenticated");
  },

  async "cookies that expired cause one refresh for all requests"() {
    const [{ api }, browser] = await signedInByCookie("ivan");
    browser.jar.delete("plinth_access");
    const [me, changed] = await Promise.all([
      unwrap(api.GET("/api/v1/users/me")),
      unwrap(api.PATCH("/api/v1/users/me", { body: { full_name: "Ivan" } })),
    ]);
    assert.deepEqual([me.username, changed.full_name], ["ivan", "Ivan"]);
    assert.equal(browser.count("/auth/cookies/refresh"), 1);
  },

  async "a refusal of cookies that comes after another's refresh does not refresh again"() {
    const [{ api }, browser] = await signedInByCookie("mona");
    browser.jar.delete("plinth_access");
    let delayed: Promise<unknown> = Promise.resolve();
    browser.delay = async (request, response) => {
      if (request.url.endsWith("/sessions") && response.status === 401) await delayed;
    };
    delayed = unwrap(api.GET("/api/v1/users/me"));
    assert.equal((await unwrap(api.GET("/api/v1/users/me/sessions"))).length, 1);
    assert.equal(browser.count("/auth/cookies/refresh"), 1);
  },

  async "a sign-in in another tab refuses the next change once"() {
    const [{ api }, browser] = await signedInByCookie("judy");
    await unwrap(api.PATCH("/api/v1/users/me", { body: { full_name: "Judy" } }));
    const [, other] = await signedInByCookie("kim");
    for (const [name, value] of other.jar) browser.jar.set(name, value);
    const change = () => unwrap(api.PATCH("/api/v1/users/me", { body: { full_name: "Judy" } }));
    assert.equal((await refusal(change)).code, "invalid_csrf_token");
    assert.equal((await change()).username, "kim");
  },

  async "a second factor completes the sign-in, with tokens and with cookies"() {
    const { client } = await signedIn("lena");
    const added = await unwrap(client.api.POST("/api/v1/users/me/factors/totp", { body: { name: "phone" } }));
    const path = { factor_id: added.id };
    const body = { code: makeCode(added.secret, -1) };
    await unwrap(client.api.POST("/api/v1/users/me/factors/{factor_id}/confirm", { params: { path }, body }));
    const browser = new Browser();
    const byCookie = createClient({ baseUrl: setting("API"), transport: "cookie", fetch: browser.fetch });
    let drift = 0;
    for (const again of [client, byCookie]) {
      const refused = await again.signIn({ email: "lena@example.com", password: PASSWORD }).catch((it: unknown) => it);
      assert(refused instanceof MfaRequiredError);
      assert(refused.methods.includes("totp") && refused.expiresAt > Date.now() / 1000);
      const { challenge } = refused;
      const wrong = await refusal(() => again.completeSignIn({ challenge, method: "totp", code: "000000" }));
      assert.equal(wrong.code, "wrong_code");
      await again.completeSignIn({ challenge, method: "totp", code: makeCode(added.secret, drift++) });
      assert.equal((await unwrap(again.api.GET("/api/v1/users/me"))).username, "lena");
    }
    assert(browser.jar.has("plinth_access"));
  },

  async "a list that one may not see is refused before its first page"() {
    const { client } = await signedIn("grace");
    const problem = await refusal(() => client.pages("/api/v1/users/").next());
    assert.equal(problem.code, "denied");
  },
};

for (const [name, go] of Object.entries(journeys)) {
  await go().catch((error: unknown) => {
    throw new Error(name, { cause: error });
  });
  console.log(name);
}
