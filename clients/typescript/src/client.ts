/**
 * API client with a session: it sends the access token, refreshes it after it expired, and iterates over pages.
 * The types come from the OpenAPI document, in `schema.ts`, which `make client` writes.
 */
import createFetchClient from "openapi-fetch";

import type { components, paths } from "./schema.js";

export type Schemas = components["schemas"];
export type Credentials = Schemas["Credentials"];
export type TokenPair = Schemas["TokenPair"];
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

/** Where the tokens are kept between two requests. */
export interface TokenStore {
  get(): TokenPair | null;
  set(tokens: TokenPair | null): void;
}

export interface Options {
  /** Scheme, host and port, without the prefix; "" in a browser is where the page came from. */
  baseUrl: string;
  /** In memory if left out: a page that is loaded anew has to sign in again. */
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

const REFRESH = "/api/v1/auth/refresh" satisfies keyof paths;

export type PlinthClient = ReturnType<typeof createClient>;

export function createClient({ baseUrl, tokens = inMemory(), fetch: send = (request) => fetch(request) }: Options) {
  const api = createFetchClient<paths>({ baseUrl, fetch: sendSignedIn });
  let renewal: Promise<Response | null> | null = null;

  /** @throws ProblemError: `wrong_credentials`, `too_many_attempts`, ... */
  async function signIn(credentials: Credentials): Promise<void> {
    tokens.set(await unwrap(api.POST("/api/v1/auth/login", { body: credentials })));
  }

  /** Here it ends in any case; on the server too, unless this throws. */
  async function signOut(): Promise<void> {
    try {
      await unwrap(api.POST("/api/v1/auth/logout"));
    } finally {
      tokens.set(null);
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
      answer = await read(await sendSignedIn(new Request(new URL(page.next, answer.response.url))));
    }
  }

  async function sendSignedIn(request: Request): Promise<Response> {
    const held = tokens.get();
    if (held === null) return send(request);
    const again = request.clone();
    const response = await send(withToken(request, held));
    if (!(await isUnauthenticated(response))) return response;
    if (tokens.get()?.access_token === held.access_token) {
      const refusal = await renew();
      if (refusal !== null) return refusal.status === 401 ? response : refusal.clone();
    }
    const renewed = tokens.get();
    return renewed === null ? response : send(withToken(again, renewed));
  }

  /** One refresh for all that wait for it. What comes back is its refusal. */
  function renew(): Promise<Response | null> {
    renewal ??= refresh().finally(() => {
      renewal = null;
    });
    return renewal;
  }

  async function refresh(): Promise<Response | null> {
    const held = tokens.get();
    if (held === null) return null;
    const body: Schemas["RefreshRequest"] = { refresh_token: held.refresh_token };
    const headers = { "Content-Type": "application/json" };
    const response = await send(new Request(baseUrl + REFRESH, { method: "POST", headers, body: JSON.stringify(body) }));
    // Discard the result if the user signed out or in meanwhile.
    const isCurrent = tokens.get()?.refresh_token === held.refresh_token;
    if (response.ok) {
      const renewed = (await response.json()) as TokenPair;
      if (isCurrent) tokens.set(renewed);
      return null;
    }
    if (response.status === 401 && isCurrent) tokens.set(null);
    return response;
  }

  return { api, signIn, signOut, pages };
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

async function isUnauthenticated(response: Response): Promise<boolean> {
  if (response.status !== 401) return false;
  const problem = await readJson(response.clone());
  return isProblem(problem) && problem.code === "unauthenticated"; // and not a wrong password
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

function withToken(request: Request, { access_token }: TokenPair): Request {
  request.headers.set("Authorization", `Bearer ${access_token}`);
  return request;
}
