/** How a client keeps its session: tokens in a store, or cookies that scripts cannot read. */
import type { components, paths } from "./schema.js";

export type TokenPair = components["schemas"]["TokenPair"];
export type Send = (request: Request) => Promise<Response>;

/** Where the tokens are kept between two requests. */
export interface TokenStore {
  get(): TokenPair | null;
  set(tokens: TokenPair | null): void;
}

export interface Session {
  /** Headers of a request that signs in. */
  readonly signInHeaders: Record<string, string>;
  /** Send a request as the user; refresh an expired session and send it again. */
  send: Send;
  /** @param tokens what the sign-in returned; nothing with cookies. */
  begin(tokens: TokenPair | undefined): void;
  end(): void;
}

const REFRESH = "/api/v1/auth/refresh" satisfies keyof paths;
// These exist with AUTH_COOKIES=true only.
const REFRESH_COOKIES = "/api/v1/auth/cookies/refresh";
const CSRF = "/api/v1/auth/cookies/csrf";
const IN_COOKIES = { "X-Auth-Transport": "cookie" };
const SAFE_METHODS = ["GET", "HEAD", "OPTIONS"];

export function withTokens(baseUrl: string, send: Send, tokens: TokenStore): Session {
  const renew = oneAtATime(refresh);

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

  async function refresh(): Promise<Response | null> {
    const held = tokens.get();
    if (held === null) return null;
    const body: components["schemas"]["RefreshRequest"] = { refresh_token: held.refresh_token };
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

  return {
    signInHeaders: {},
    send: sendSignedIn,
    begin: (pair) => tokens.set(pair ?? null),
    end: () => tokens.set(null),
  };
}

export function withCookies(baseUrl: string, send: Send): Session {
  let csrfToken: string | null = null;
  let renewals = 0;
  const renew = oneAtATime(refresh);

  async function sendSignedIn(request: Request): Promise<Response> {
    const again = request.clone();
    const before = renewals;
    const response = await sendWithCookies(request);
    if (!(await isUnauthenticated(response))) return response;
    if (renewals === before) {
      const refusal = await renew();
      if (refusal !== null && refusal.status !== 401) return refusal.clone();
    }
    return sendWithCookies(again); // also after a 401: another tab may have refreshed
  }

  async function sendWithCookies(request: Request): Promise<Response> {
    const signsIn = request.headers.has("X-Auth-Transport");
    if (!SAFE_METHODS.includes(request.method) && !signsIn) {
      csrfToken ??= await fetchCsrfToken();
      if (csrfToken !== null) request.headers.set("X-CSRF-Token", csrfToken);
    }
    const response = await send(new Request(request, { credentials: "include" }));
    // Do not send it again: another tab may have signed in as someone else.
    if (response.status === 403 && (await hasCode(response, "invalid_csrf_token"))) csrfToken = null;
    return response;
  }

  async function fetchCsrfToken(): Promise<string | null> {
    const response = await send(new Request(baseUrl + CSRF, { credentials: "include" }));
    return response.ok ? ((await response.json()) as { csrf_token: string }).csrf_token : null;
  }

  async function refresh(): Promise<Response | null> {
    const options: RequestInit = { method: "POST", headers: IN_COOKIES, credentials: "include" };
    const response = await send(new Request(baseUrl + REFRESH_COOKIES, options));
    if (!response.ok) return response;
    renewals += 1;
    return null;
  }

  function forget(): void {
    csrfToken = null;
  }

  return { signInHeaders: IN_COOKIES, send: sendSignedIn, begin: forget, end: forget };
}

/** One refresh for all that wait for it. What comes back is its refusal. */
function oneAtATime(refresh: () => Promise<Response | null>): () => Promise<Response | null> {
  let renewal: Promise<Response | null> | null = null;
  return () =>
    (renewal ??= refresh().finally(() => {
      renewal = null;
    }));
}

async function isUnauthenticated(response: Response): Promise<boolean> {
  return response.status === 401 && hasCode(response, "unauthenticated"); // and not a wrong password
}

async function hasCode(response: Response, code: string): Promise<boolean> {
  try {
    return ((await response.clone().json()) as { code?: unknown }).code === code;
  } catch {
    return false;
  }
}

function withToken(request: Request, { access_token }: TokenPair): Request {
  request.headers.set("Authorization", `Bearer ${access_token}`);
  return request;
}
