/* The page /account. It calls the public API with cookies; the API decides everything. */

const { api, url, passkeyOrigins } = document.body.dataset;
const METHODS = { password: "Password", totp: "Authenticator app", recovery_code: "Recovery code", passkey: "Passkey" };
const FIELDS = {
  password: { label: "Password", type: "password", inputMode: "text", autocomplete: "current-password" },
  totp: { label: "Code of the app", type: "text", inputMode: "numeric", autocomplete: "one-time-code" },
  recovery_code: { label: "Recovery code", type: "text", inputMode: "text", autocomplete: "off" },
};
const OIDC = "plinth-oidc"; // the entry of sessionStorage
const EMAIL_CODE = "plinth-email-code"; // the entry of localStorage, since a link opens a new tab
const { origin, pathname } = new URL(url);
const noPasskeys = explainMissingPasskeys();
const hasPasskeys = !noPasskeys;
const find = (selector, root = document) => root.querySelector(selector);
const findAll = (selector, root = document) => [...root.querySelectorAll(selector)];
const card = (id) => document.getElementById(id);

let csrfToken; // undefined: signed out
let me;
let afterSignIn; // an action with the token of a mail
let pending; // of the sign-in or a link: the challenge, or the address that a code was sent to
let waiting; // the AbortController of the passkeys that the browser offers in the e-mail field
let refreshing;

/* --- The API --- */

class Refusal extends Error {
  constructor(response, problem) {
    super(problem.detail ?? `The server answered ${response.status}. Try again later.`);
    Object.assign(this, problem, { status: response.status });
    this.retryAfter = Number(response.headers.get("Retry-After"));
  }
}

class Cancelled extends Error {}

async function send(method, path, body) {
  const headers = {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (path.startsWith("/auth/")) headers["X-Auth-Transport"] = "cookie";
  if (csrfToken && method !== "GET") headers["X-CSRF-Token"] = csrfToken;
  const response = await fetch(api + path, { method, headers, body: JSON.stringify(body) }).catch(() => {
    throw new Error("The server cannot be reached. Check your connection and try again.");
  });
  if (!response.ok) throw new Refusal(response, await response.json().catch(() => ({})));
  return response.status === 204 ? null : response.json();
}

/** Send a request of a signed-in user; refresh the session and authenticate again if required. */
async function call(method, path, body) {
  for (let attempt = 0; ; attempt++) {
    try {
      return await send(method, path, body);
    } catch (error) {
      if (attempt === 2) throw error;
      if (error.code === "step_up_required") await stepUp(error);
      else if (error.code === "invalid_csrf_token") await reloadForOtherUser();
      else if (error.status === 401 && csrfToken) await refresh();
      else throw error;
    }
  }
}

/** Refresh once for all requests that need it at the same time. */
async function refresh() {
  refreshing ??= send("POST", "/auth/cookies/refresh").finally(() => (refreshing = undefined));
  try {
    await refreshing;
  } catch (error) {
    if (![401, 403].includes(error.status)) throw error;
    await showSignIn(`Your session has ended. ${error.status === 403 ? error.message : "Sign in again."}`);
    throw new Cancelled();
  }
}

async function reloadForOtherUser() {
  await enter();
  throw new Error("Someone signed in again in this browser. Check the account, then try again.");
}

/* --- Messages, views and dialogs --- */

function say(place, text, kind = "error") {
  const message = find(".message", place);
  message.className = `message ${kind}`;
  message.textContent = text;
}

function describe(error) {
  if (error.name === "NotAllowedError") return "The passkey was not used: you cancelled, or it took too long.";
  if (error.name === "InvalidStateError") return "This device has a passkey for this account already.";
  const fields = (error.errors ?? []).map((it) => `${it.loc.at(-1)}: ${it.msg.replace("Value error, ", "")}`);
  const text = fields.join(". ") || error.message;
  return error.retryAfter ? `${text}. Try again in ${describeSeconds(error.retryAfter)}.` : text;
}

function describeSeconds(seconds) {
  const [amount, unit] = seconds < 120 ? [seconds, "second"] : [Math.ceil(seconds / 60), "minute"];
  return new Intl.NumberFormat("en", { style: "unit", unit, unitDisplay: "long" }).format(amount);
}

/** Run an action of a card, and show its error there. The action may return a message. */
async function run(place, action) {
  if (place.ariaBusy === "true") return;
  place.ariaBusy = "true";
  const focused = document.activeElement;
  for (const it of findAll(".message").map((it) => it.parentElement)) say(it, "");
  try {
    const done = await action();
    if (done) say(place, done, "done");
  } catch (error) {
    if (!(error instanceof Cancelled)) say(place, describe(error));
  } finally {
    place.ariaBusy = "false";
    const isLost = document.activeElement === document.body && !focused.isConnected;
    if (isLost) find("h1, h2", place).focus();
  }
}

function showStep(id) {
  stopOffering();
  card("signed-in").hidden = find("header button").hidden = true;
  card("signed-out").hidden = false;
  for (const step of findAll("#signed-out > section")) step.hidden = step.id !== id;
  find("form", card(id))?.reset();
  say(card(id), "");
  find("h1", card(id)).focus();
}

async function showSignIn(text = "") {
  csrfToken = me = pending = afterSignIn = undefined;
  showStep("sign-in");
  say(card("sign-in"), text);
  offerPasskeys();
}

/** Show a modal dialog. Return what `answer` resolves; closing the dialog cancels. */
async function openDialog(dialog, answer) {
  dialog.showModal();
  try {
    return await new Promise((resolve, reject) => {
      dialog.onclose = () => reject(new Cancelled());
      answer(resolve);
    });
  } finally {
    dialog.onclose = null;
    dialog.close();
  }
}

/** Ask for a name, or without `label` for a confirmation. */
function ask({ title, text = "", label = "", value = "", button }) {
  const dialog = card("ask");
  const input = find("input", dialog);
  find("h2", dialog).textContent = title;
  find("p", dialog).textContent = text;
  find("label", dialog).hidden = input.disabled = !label;
  find("label span", dialog).textContent = label;
  find(".primary", dialog).textContent = button;
  Object.assign(input, { value, required: Boolean(label) });
  return openDialog(dialog, (resolve) => {
    input.select();
    find("form", dialog).onsubmit = (event) => {
      event.preventDefault();
      resolve(input.value);
    };
  });
}

async function stepUp(error) {
  if (error.methods.includes("password_reset")) return await signInAgain(error);
  const dialog = card("step-up");
  say(dialog, "");
  setUpProof(dialog, error.methods);
  return openDialog(dialog, (resolve) => (pending = { resolve }));
}

function setUpProof(place, methods) {
  const { method, secret } = find("form", place).elements;
  const usable = methods.filter((it) => it in METHODS && (it !== "passkey" || hasPasskeys));
  if (!usable.length) throw new Error(noPasskeys);
  method.replaceChildren(...usable.map((it) => new Option(METHODS[it], it)));
  find("[data-part=method]", place).hidden = usable.length < 2;
  method.onchange = () => {
    const { label, ...field } = FIELDS[method.value] ?? {};
    find("[data-part=secret]", place).hidden = secret.disabled = !label;
    find("[data-part=secret] span", place).textContent = label ?? "";
    Object.assign(secret, { value: "", ...field });
  };
  method.onchange();
}

async function readProof(form, passkeyPath, body) {
  const [method, secret] = [form.elements.method.value, form.elements.secret.value];
  if (method === "passkey") return { method, credential: await usePasskey(await send("POST", passkeyPath, body)) };
  return method === "password" ? { method, password: secret } : { method, code: secret };
}

/* --- Passkeys --- */

/** Return why this page cannot use passkeys, or nothing. */
function explainMissingPasskeys() {
  const allowed = passkeyOrigins.split(" ");
  if (!allowed.includes(location.origin)) {
    if (allowed.includes(origin)) return `Passkeys work only at ${url}: open the page there.`;
    return `Passkeys work only at ${allowed.join(", ")}.`;
  }
  if (window.PublicKeyCredential?.parseRequestOptionsFromJSON) return "";
  return "This browser cannot use passkeys. Use another browser.";
}

async function usePasskey(options, more = {}) {
  stopOffering();
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
  return (await navigator.credentials.get({ publicKey, ...more })).toJSON();
}

async function createPasskey(options) {
  stopOffering();
  const publicKey = PublicKeyCredential.parseCreationOptionsFromJSON(options);
  return (await navigator.credentials.create({ publicKey })).toJSON();
}

/** Let the browser offer passkeys in the e-mail field, until the user does something else. */
async function offerPasskeys() {
  stopOffering();
  const offer = (waiting = new AbortController());
  try {
    if (!hasPasskeys || !(await PublicKeyCredential.isConditionalMediationAvailable?.())) return;
    if (offer.signal.aborted) return;
    const options = await send("POST", "/auth/passkey/options");
    if (offer.signal.aborted) return;
    const renewal = setTimeout(offerPasskeys, options.timeout);
    offer.signal.addEventListener("abort", () => clearTimeout(renewal));
    const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(options);
    const credential = await navigator.credentials.get({ publicKey, mediation: "conditional", signal: offer.signal });
    await run(card("sign-in"), () => signIn("/auth/passkey", credential.toJSON()));
  } catch {
    // The button and the other ways to sign in remain, and show their errors.
  }
}

function stopOffering() {
  waiting?.abort();
  waiting = undefined;
}

/* --- Sign-in --- */

async function signIn(path, body) {
  try {
    await send("POST", path, body);
  } catch (error) {
    if (error.code === "step_up_required") await signInAgain(error);
    if (error.code !== "mfa_required" || !error.challenge) throw error;
    pending = { challenge: error.challenge };
    showStep(error.methods.length ? "second-factor" : "enrollment");
    find("[data-list]", card("enrollment")).replaceChildren();
    if (error.methods.length) setUpProof(card("second-factor"), error.methods);
    return;
  }
  await enter();
}

async function enter() {
  csrfToken = (await send("GET", "/auth/cookies/csrf")).csrf_token;
  await load();
  stopOffering();
  pending = undefined;
  for (const place of findAll("#signed-in section")) say(place, "");
  for (const shown of findAll("#signed-in .panel")) shown.remove();
  for (const form of findAll("#signed-in form, #signed-out form")) form.reset();
  card("signed-out").hidden = true;
  card("signed-in").hidden = find("header button").hidden = false;
  find("#signed-in h1").focus();
  const action = afterSignIn;
  afterSignIn = undefined;
  if (action) await run(card("profile"), action);
}

/** Continue the session of the cookies. */
async function resume() {
  await enter().catch(async (error) => {
    if (error.status !== 401) throw error;
    await send("POST", "/auth/cookies/refresh");
    await enter();
  });
}

async function start() {
  const query = new URLSearchParams(location.search);
  const open = links[location.pathname.slice(pathname.length + 1)];
  const token = new URLSearchParams(location.hash.slice(1)).get("token");
  const flow = JSON.parse(sessionStorage.getItem(OIDC) ?? "null");
  sessionStorage.removeItem(OIDC);
  readRequestedCode(); // removes an expired one
  if (location.href !== location.origin + pathname) history.replaceState(null, "", pathname);
  for (const it of findAll("[data-needs=passkeys]")) it.hidden = !hasPasskeys;
  for (const it of findAll("[data-show=passkey-note]")) Object.assign(it, { hidden: hasPasskeys, textContent: noPasskeys });
  if (open) return await open(token);
  const isBack = flow && (query.has("code") || query.has("error"));
  if (isBack && !flow.links) return await finishProviderSignIn(query, flow);
  try {
    await resume();
  } catch (error) {
    return await showSignIn(error.status === 401 ? "" : describe(error));
  }
  if (isBack) await run(card("identities"), () => finishLink(query, flow));
}

/* --- The links in mails. Each is used when its user presses a button, since scanners open links. --- */

const links = {
  "forgot-password": () => showForgotten(""),
  async "reset-password"(token) {
    if (!token) return showForgotten("The link is incomplete. Request another one.");
    showStep("new-password");
    pending = { token };
  },
  async "verify-email"(token) {
    if (!token) return await showSignIn("The link is incomplete. Sign in to request another one.");
    showStep("confirmation");
    pending = { token };
  },
  async "accept-invitation"(token) {
    if (!token) return await showSignIn("The link is incomplete. Ask for another invitation.");
    showStep("invitation");
    pending = { token };
  },
  async "email-code"(code) {
    const requested = readRequestedCode();
    if (!requested) {
      return await showSignIn("Open the link in the browser in which you requested the code, or type the code there.");
    }
    showEmailCode(requested);
    find("#email-code [name=code]").value = code ?? "";
  },
};

function showForgotten(text) {
  const email = find("#sign-in [name=email]").value;
  showStep("forgotten");
  find("#forgotten [name=email]").value = email;
  say(card("forgotten"), text);
}

/** Return the address and the challenge of the code that this browser requested, until it expires. */
function readRequestedCode() {
  const requested = JSON.parse(localStorage.getItem(EMAIL_CODE) ?? "null");
  if (requested?.expires_at > Date.now() / 1000) return requested;
  localStorage.removeItem(EMAIL_CODE); // the next user of the browser must not see the address
  return null;
}

function showEmailCode(requested) {
  showStep("email-code");
  pending = requested;
  find("#email-code b").textContent = requested.email;
}

/** Read the CSRF token of a session, if there is one. */
async function readCsrfToken() {
  const read = async () => (csrfToken = (await send("GET", "/auth/cookies/csrf")).csrf_token);
  await read()
    .catch(() => send("POST", "/auth/cookies/refresh").then(read))
    .catch(() => {});
}

async function confirmWithinSession(token) {
  await call("POST", "/auth/email/verify", { token });
  await load();
  return "The address is confirmed.";
}

async function acceptWithinSession(token) {
  return `You joined ${(await call("POST", "/invitations/accept", { token })).name}.`;
}

/* --- Providers --- */

async function openProvider(provider, more = {}) {
  const query = new URLSearchParams({ ...(await beginProviderFlow(false, more.fresh)), ...more });
  location.assign(`${api}/auth/oidc/${provider}/start?${query}`);
}

/** Leave the page for a new sign-in; the user then repeats the change. */
async function signInAgain({ methods, providers = [] }) {
  const shown = findAll("[data-action=signInByProvider]").map((it) => it.dataset.provider);
  const provider = providers.find((it) => shown.includes(it));
  if (!provider) throw new Error(`Your last sign-in is not recent enough. ${describeSignIn(methods)}`);
  const text = "Your last sign-in was a while ago. Sign in again with your provider, then repeat the change.";
  await ask({ title: "Confirm that it is you", text, button: "Continue" });
  await openProvider(provider, { fresh: true });
  throw new Cancelled();
}

function describeSignIn(methods) {
  const ways = { password: "with your password", email_code: "with a code by e-mail" };
  const method = methods.find((it) => it in ways);
  return `Sign in ${ways[method] ?? "after a password reset"}, and continue within a few minutes.`;
}

async function beginProviderFlow(links, fresh = false) {
  const bytes = crypto.getRandomValues(new Uint8Array(32));
  const verifier = encode(bytes);
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(verifier));
  sessionStorage.setItem(OIDC, JSON.stringify({ verifier, links, fresh }));
  return { redirect_to: url, code_challenge: encode(new Uint8Array(hash)) };
}

function encode(bytes) {
  return btoa(String.fromCharCode(...bytes)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

function readCode(query, flow) {
  if (query.get("error") === "provider_refused" && flow.fresh) {
    const methods = find("[data-action=requestEmailCode]") ? ["email_code"] : [];
    throw new Error(`The provider did not confirm a recent sign-in. ${describeSignIn(methods)}`);
  }
  if (!query.has("code")) throw new Error(`The provider did not confirm the sign-in (${query.get("error")}).`);
  return { code: query.get("code"), code_verifier: flow.verifier };
}

async function finishProviderSignIn(query, flow) {
  showStep("sign-in");
  await run(card("sign-in"), () => signIn("/auth/oidc/token", readCode(query, flow)));
}

async function finishLink(query, flow) {
  await call("POST", "/users/me/identities/link", readCode(query, flow));
  await load();
  return "The account is connected.";
}

function showNewApp(place, app, confirm) {
  const panel = card("new-app").content.cloneNode(true);
  const picture = app.qr.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ');
  find("img", panel).src = `data:image/svg+xml,${encodeURIComponent(picture)}`;
  find("code", panel).textContent = app.secret.replace(/.{4}(?=.)/g, "$& ");
  const form = find("form", panel);
  form.onsubmit = (event) => {
    event.preventDefault();
    run(place, () => confirm(form.elements.code.value));
  };
  find("[data-list=new-app]", place).replaceChildren(panel);
  form.elements.code.focus();
}

/* --- The account --- */

async function load() {
  const paths = ["", "/factors", "/identities", "/sessions"];
  const [user, factors, identities, sessions] = await Promise.all(paths.map((it) => call("GET", `/users/me${it}`)));
  me = user;
  const confirmed = factors.filter((it) => it.confirmed_at);
  showProfile(sessions);
  showList("apps", confirmed.filter((it) => it.kind === "totp"), toFactor, "No app yet.");
  showList("passkeys", confirmed.filter((it) => it.kind === "passkey"), toFactor, "No passkey yet.");
  showList("identities", identities, toIdentity, "No account connected yet.");
  showList("sessions", sessions, toSession, "");
  card("recovery").hidden = confirmed.length === 0;
  find("[data-action=endOtherSessions]").hidden = sessions.length < 2;
}

function showProfile(sessions) {
  const text = {
    name: me.full_name ? `${me.full_name} (${me.username})` : me.username,
    email: me.email,
    verified: me.is_verified ? "Verified" : "Not verified",
  };
  for (const it of findAll("[data-show]", card("profile"))) it.textContent = text[it.dataset.show];
  find(".badge").classList.toggle("warning", !me.is_verified);
  find("[data-action=resendVerification]").hidden = me.is_verified;
  find("[name=username]").defaultValue = me.email;
  card("impersonation").hidden = !sessions.some((it) => it.is_current && it.is_impersonation);
}

function make(tag, properties = {}, ...children) {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
}

/** Show rows with a title, badges, a line of details, and buttons by their labels. */
function showList(id, rows, toRow, nothing) {
  const items = rows.map(toRow).map(({ title, badges = [], details, buttons }) => {
    const marks = badges.map((it) => make("span", { className: "badge", textContent: it }));
    const text = make("div", {}, make("b", { textContent: title }), ...marks, make("small", { textContent: details }));
    const actions = Object.entries(buttons).map(([label, action]) => {
      const onclick = () => run(card(id), action);
      return make("button", { type: "button", textContent: label, ariaLabel: `${label} ${title}`, onclick });
    });
    return make("li", {}, text, make("div", { className: "row" }, ...actions));
  });
  if (!items.length) items.push(make("li", { className: "nothing", textContent: nothing }));
  find(`[data-list=${id}]`).replaceChildren(...items);
}

function formatTime(text) {
  return new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" }).format(new Date(text));
}

function describeUse(row) {
  const used = row.last_used_at ? `last used ${formatTime(row.last_used_at)}` : "not used yet";
  return `Added ${formatTime(row.created_at)}, ${used}`;
}

function toFactor(factor) {
  const path = `/users/me/factors/${factor.id}`;
  const rename = async () => {
    const name = await ask({ title: "Rename", label: "Name", value: factor.name, button: "Save" });
    await call("PATCH", path, { name });
    await load();
    return "The name was changed.";
  };
  const remove = () => removeRow(path, factor.name, "You can no longer sign in with it.");
  return { title: factor.name, details: describeUse(factor), buttons: { Rename: rename, Remove: remove } };
}

function toIdentity(identity) {
  const path = `/users/me/identities/${identity.id}`;
  const title = identity.email ?? identity.provider;
  const remove = () => removeRow(path, title, "You can no longer sign in with it. Your other devices are signed out.");
  return { title, badges: [identity.provider], details: describeUse(identity), buttons: { Remove: remove } };
}

async function removeRow(path, name, text) {
  await ask({ title: `Remove ${name}?`, text, button: "Remove" });
  await call("DELETE", path);
  await load();
  return `${name} was removed.`;
}

function toSession(session) {
  const badges = [session.is_current && "This device", session.is_impersonation && "Support"].filter(Boolean);
  const place = session.ip ? `${session.ip}, ` : "";
  const details = `${place}signed in ${formatTime(session.created_at)}, last used ${formatTime(session.last_used_at)}`;
  const end = async () => {
    await call("DELETE", `/users/me/sessions/${session.id}`);
    await load();
    return `${session.device} was signed out.`;
  };
  return { title: session.device, badges, details, buttons: session.is_current ? {} : { "Sign out": end } };
}

function showRecoveryCodes(codes) {
  const copy = make("button", { type: "button", textContent: "Copy" });
  copy.onclick = () => run(card("recovery"), async () => {
    await navigator.clipboard.writeText(codes.join("\n"));
    return "The codes were copied.";
  });
  const print = make("button", { type: "button", textContent: "Print", onclick: () => window.print() });
  const panel = make("div", { className: "panel" });
  const hide = make("button", { type: "button", textContent: "I saved them", onclick: () => panel.remove() });
  const list = make("ul", { className: "codes" }, ...codes.map((it) => make("li", {}, make("code", { textContent: it }))));
  panel.append(
    make("p", { textContent: "Save these codes now, apart from your phone. They are not shown again." }),
    list,
    make("div", { className: "row" }, copy, print, hide),
  );
  find("[data-list=codes]").replaceChildren(panel);
  copy.focus();
}

/* The actions of the elements with `data-action`. They get the element: a form or a button. */
const actions = {
  signInByPassword: ({ elements }) =>
    signIn("/auth/login", { email: elements.email.value, password: elements.password.value }),
  async signInByPasskey() {
    stopOffering();
    await signIn("/auth/passkey", await usePasskey(await send("POST", "/auth/passkey/options")));
  },
  signInByProvider: ({ dataset }) => openProvider(dataset.provider),
  async requestEmailCode() {
    const field = find("#sign-in [name=email]");
    if (!field.value) {
      field.focus();
      throw new Error("Enter your e-mail first.");
    }
    const email = field.value;
    const requested = { ...(await send("POST", "/auth/email-code", { email })), email };
    localStorage.setItem(EMAIL_CODE, JSON.stringify(requested));
    showEmailCode(requested);
  },
  async signInByEmailCode({ elements }) {
    await signIn("/auth/email-code/verify", { challenge: pending.challenge, code: elements.code.value });
    localStorage.removeItem(EMAIL_CODE);
  },
  forgetPassword: () => showForgotten(""),
  async requestReset({ elements }) {
    return `${(await send("POST", "/auth/password/forgot", { email: elements.email.value })).message}.`;
  },
  async resetPassword({ elements }) {
    try {
      await send("POST", "/auth/password/reset", { token: pending.token, password: elements.password.value });
    } catch (error) {
      if (error.code !== "invalid_token") throw error;
      return showForgotten(`${error.message}. Request another link.`);
    }
    await showSignIn();
    say(card("sign-in"), "The password was set. Sign in with it.", "done");
  },
  async confirmEmail() {
    const { token } = pending;
    await readCsrfToken();
    try {
      await send("POST", "/auth/email/verify", { token });
    } catch (error) {
      if (error.code !== "not_signed_in") throw error;
      await showSignIn("Sign in to the account that this address belongs to. Then the address is confirmed.");
      afterSignIn = () => confirmWithinSession(token);
      return;
    }
    const place = await resume().then(() => card("profile"), () => showSignIn().then(() => card("sign-in")));
    say(place, "The address is confirmed.", "done");
  },
  async acceptInvitation() {
    const { token } = pending;
    const accept = (afterSignIn = () => acceptWithinSession(token));
    try {
      await resume();
    } catch (error) {
      if (error.status !== 401) throw error;
      await showSignIn("Sign in to the account that has the invited address. Then you join the organization.");
      afterSignIn = accept;
    }
  },
  async proveSecondFactor(form) {
    const { challenge } = pending;
    const proof = await readProof(form, "/auth/mfa/passkey/options", { challenge });
    await signIn("/auth/mfa", { challenge, ...proof });
  },
  async addFirstApp() {
    const { challenge } = pending;
    const app = await send("POST", "/auth/mfa/totp", { challenge });
    showNewApp(card("enrollment"), app, (code) => signIn("/auth/mfa", { challenge, method: "totp", code }));
  },
  async addFirstPasskey() {
    const { challenge } = pending;
    const credential = await createPasskey(await send("POST", "/auth/mfa/passkey/new", { challenge }));
    await signIn("/auth/mfa", { challenge, method: "new_passkey", credential });
  },
  startAgain: () => showSignIn(),
  async proveStepUp(form) {
    await call("POST", "/auth/step-up", await readProof(form, "/auth/step-up/passkey/options"));
    pending.resolve();
  },
  cancel: (button) => button.closest("dialog").close(),
  async resendVerification() {
    return `${(await call("POST", "/auth/email/resend")).message}.`;
  },
  async changePassword(form) {
    const { current, new: chosen } = form.elements;
    await call("PATCH", "/users/me", { current_password: current.value, password: chosen.value });
    form.reset();
    await load();
    return "The password was changed.";
  },
  async addApp() {
    const name = await ask({ title: "Add an app", label: "Name", value: "Authenticator app", button: "Continue" });
    const app = await call("POST", "/users/me/factors/totp", { name });
    showNewApp(card("apps"), app, async (code) => {
      await call("POST", `/users/me/factors/${app.id}/confirm`, { code });
      find("#apps .panel").remove();
      await load();
      return "The app was added. Get recovery codes, in case you lose it.";
    });
  },
  async addPasskey() {
    const name = await ask({ title: "Add a passkey", label: "Name", value: "Passkey", button: "Continue" });
    const credential = await createPasskey(await call("POST", "/users/me/factors/passkey/options"));
    await call("POST", "/users/me/factors/passkey", { name, credential });
    await load();
    return "The passkey was added. Get recovery codes, in case you lose it.";
  },
  async makeRecoveryCodes() {
    showRecoveryCodes((await call("POST", "/users/me/recovery-codes")).codes);
  },
  async link({ dataset }) {
    const flow = await beginProviderFlow(true);
    location.assign((await call("POST", `/users/me/identities/${dataset.provider}/start`, flow)).url);
  },
  async endOtherSessions() {
    const others = (await call("GET", "/users/me/sessions")).filter((it) => !it.is_current);
    for (const { id } of others) await call("DELETE", `/users/me/sessions/${id}`);
    await load();
    return "The other devices were signed out.";
  },
  async signOutEverywhere() {
    await ask({ title: "Sign out everywhere?", text: "This device is signed out as well.", button: "Sign out" });
    await call("POST", "/auth/logout-all");
    await showSignIn();
  },
  async signOut() {
    await call("POST", "/auth/logout");
    await showSignIn();
  },
};

function act(event, element) {
  event.preventDefault();
  const place = element.closest("section, dialog") ?? card("profile");
  const action = () => actions[element.dataset.action](element);
  if (element.dataset.action === "cancel") action();
  else run(place, action);
}

document.addEventListener("submit", (event) => {
  if (event.target.dataset.action) act(event, event.target);
});
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-action]");
  if (button) act(event, button);
});
start();
