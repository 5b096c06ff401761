/**
 * API client with a session: it sends the access token, refreshes it after it expired, and iterates over pages.
 * The types come from the OpenAPI document, in `schema.ts`, which `make client` writes.
 */
import createFetchClient from "openapi-fetch";

import type { components, paths } from "./schema.js";
import { withCookies, withTokens, type TokenPair, type TokenStore } from "./session.js";

export type { TokenPair, TokenStore };

export type Schemas = components["schemas"];
export type Credentials = Schemas["Credentials"];
export type Problem = Schemas["Problem"];
export type ValidationProblem = Schemas["ValidationProblem"];
export type Page<Item> = Omit<Schemas["Page_User_"], "items"> & { items: Item[] };

type Get<Path extends keyof paths> = Extract<paths[Path]["get"], object>;
type Found<Path extends keyof paths> =
  Get<Path> extends { responses: { 200: { content: { "application/json": infer Answer } } } } ? Answer : never;
/** The paths that answer with a page. */
export type Listing = {
  [Path in keyof paths]: [Found<Path>] extends [never] ? never : Found<Path> extends Page<unknown> ? Path : never;
}[keyof paths];
export type ItemOf<Path extends Listing> = Found<Path> extends Page<infer Item> ? Item : never;
type Wanted<Path extends Listing> = Pick<Get<Path>["parameters"], "query" | "path">;

export interface Options {
  /** Scheme, host and port, without the prefix; "" in a browser is where the page came from. */
  baseUrl: string;
  /** "cookie" needs AUTH_COOKIES=true: the session is in cookies that scripts cannot read. */
  transport?: "bearer" | "cookie";
  /** In memory if left out: a page that is loaded anew has to sign in again. Not with cookies. */
  tokens?: TokenStore;
  fetch?: (request: Request) => Promise<Response>;
}

/** A refusal (RFC 9457), as `unwrap` throws it. Programs go by `problem.code`. */
export class ProblemError extends Error {
  constructor(
    readonly problem: Problem | ValidationProblem,
    readonly response: Response,
  ) {
    super(problem.detail);
    this.name = "ProblemError";
  }
}

/** The account needs a second factor: pass `challenge`, one of `methods` and a code to `completeSignIn`. */
export class MfaRequiredError extends ProblemError {
  readonly challenge: string;
  /** Empty if the account has no factor yet: `POST /auth/mfa/totp` with the challenge adds one. */
  readonly methods: string[];
  /** Unix time in seconds. */
  readonly expiresAt: number;

  constructor(problem: Problem & Pending, response: Response) {
    super(problem, response);
    this.name = "MfaRequiredError";
    this.challenge = problem.challenge;
    this.methods = problem.methods;
    this.expiresAt = problem.expires_at;
  }
}

interface Pending {
  challenge: string;
  methods: string[];
  expires_at: number;
}

export type PlinthClient = ReturnType<typeof createClient>;

export function createClient({ baseUrl, transport, tokens = inMemory(), fetch: send = (it) => fetch(it) }: Options) {
  const session = transport === "cookie" ? withCookies(baseUrl, send) : withTokens(baseUrl, send, tokens);
  const api = createFetchClient<paths>({ baseUrl, fetch: session.send });

  /** @throws MfaRequiredError; ProblemError: `wrong_credentials`, `too_many_attempts`, ... */
  async function signIn(credentials: Credentials): Promise<void> {
    begin(await api.POST("/api/v1/auth/login", { body: credentials, headers: session.signInHeaders }));
  }

  /** Complete a sign-in that threw `MfaRequiredError`. @throws ProblemError: `wrong_code`, `invalid_challenge`, ... */
  async function completeSignIn(factor: Schemas["SecondFactor"]): Promise<void> {
    begin(await api.POST("/api/v1/auth/mfa", { body: factor, headers: session.signInHeaders }));
  }

  /** The response of a sign-in in cookies has no body. */
  function begin(answer: Answer<TokenPair | undefined>): void {
    if (isPending(answer.error)) throw new MfaRequiredError(answer.error, answer.response);
    session.begin(take(answer));
  }

  /** Here it ends in any case; on the server too, unless this throws. */
  async function signOut(): Promise<void> {
    try {
      await unwrap(api.POST("/api/v1/auth/logout"));
    } finally {
      session.end();
    }
  }

  /** All pages of a list, by its `next` links: rows that come or go meanwhile make none appear twice. */
  async function* pages<Path extends Listing>(
    path: Path,
    wanted: Wanted<Path> = {},
  ): AsyncGenerator<Page<ItemOf<Path>>, void, undefined> {
    // openapi-fetch cannot type a path that is a union of several paths.
    const get = api.GET as (path: Path, init: object) => Promise<Answer<Page<ItemOf<Path>>>>;
    let answer = await get(path, { params: wanted });
    for (;;) {
      const page = take(answer);
      yield page;
      if (page.next === null) return;
      answer = await read(await session.send(new Request(new URL(page.next, answer.response.url))));
    }
  }

  return { api, signIn, completeSignIn, signOut, pages };
}

export function inMemory(): TokenStore {
  let held: TokenPair | null = null;
  return {
    get: () => held,
    set: (tokens) => {
      held = tokens;
    },
  };
}

export interface Answer<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/** What was asked for: `await unwrap(client.api.GET("/api/v1/users/me"))`. @throws ProblemError */
export async function unwrap<Data>(answer: Promise<Answer<Data>>): Promise<Data> {
  return take(await answer);
}

export function isValidationProblem(problem: Problem | ValidationProblem): problem is ValidationProblem {
  return "errors" in problem;
}

function take<Data>({ data, error, response }: Answer<Data>): Data {
  if (!response.ok) throw new ProblemError(isProblem(error) ? error : makeProblem(response), response);
  return data as Data; // of a 204 that is undefined
}

async function read<Data>(response: Response): Promise<Answer<Data>> {
  if (response.ok) return { data: (await response.json()) as Data, response };
  return { error: await readJson(response), response };
}

function isPending(error: unknown): error is Problem & Pending {
  return isProblem(error) && error.code === "mfa_required" && "challenge" in error;
}

function isProblem(body: unknown): body is Problem {
  return typeof body === "object" && body !== null && "code" in body && "detail" in body;
}

/** Of an answer that came from something between the API and here. */
function makeProblem({ status, statusText }: Response): Problem {
  return { type: "about:blank", title: statusText, status, detail: statusText, code: "unknown", request_id: null };
}

async function readJson(response: Response): Promise<unknown> {
  try {
    return await response.json();
  } catch {
    return undefined;
  }
}
