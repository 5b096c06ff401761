/* Requests of the front end and of hostile pages (test_csrf.py). `api` is the address of the API. */
let csrfToken;

async function send(method, path, body, headers = {}) {
  const json = body === undefined ? {} : { "Content-Type": "application/json" };
  const token = csrfToken ? { "X-CSRF-Token": csrfToken } : {};
  return fetch(api + path, {
    method,
    credentials: "include",
    headers: { ...json, ...token, ...headers },
    body: body === undefined ? undefined : JSON.stringify(body),
  });
}

window.request = async ([method, path, body]) => {
  const response = await send(method, path, body);
  const text = await response.text();
  return { status: response.status, code: response.ok ? null : JSON.parse(text).code };
};
window.read = async (path) => (await send("GET", path)).json();
window.signIn = async ([email, password]) => {
  const response = await send("POST", "/auth/login", { email, password }, { "X-Auth-Transport": "cookie" });
  return response.status;
};
window.refresh = async () =>
  (await send("POST", "/auth/cookies/refresh", undefined, { "X-Auth-Transport": "cookie" })).status;
window.getCsrfToken = async () => {
  csrfToken = (await read("/auth/cookies/csrf")).csrf_token;
};

window.shakeHands = async () => {
  const socket = new WebSocket(api.replace("http", "ws") + "/own/live");
  await new Promise((done) => {
    socket.onclose = done;
    socket.onopen = done;
  });
};

const WRITES = [
  ["POST", "/own/private"],
  ["PUT", "/own/private"],
  ["PATCH", "/own/private"],
  ["DELETE", "/own/private"],
  ["POST", "/own/optional"],
  ["POST", "/auth/logout"],
  ["POST", "/auth/logout-all"],
  ["POST", "/auth/cookies/refresh"],
  ["PATCH", "/users/me"],
];
const SIMPLE = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"];
const CUSTOM = [
  { "Content-Type": "application/json" },
  { "X-CSRF-Token": "x" },
  { "X-Auth-Transport": "cookie" },
  { "X-HTTP-Method-Override": "DELETE" },
];

/* Each outcome must be "failed" (the preflight or CORS) or "opaque" (sent, but unreadable). */
window.attackByFetch = async ([email, password]) => {
  const outcomes = {};
  async function attempt(name, path, options) {
    try {
      const response = await fetch(api + path, { credentials: "include", ...options });
      outcomes[name] = response.type === "opaque" ? "opaque" : `read ${response.status}`;
    } catch {
      outcomes[name] = "failed";
    }
  }
  const body = JSON.stringify({ full_name: "Eve" });
  for (const [method, path] of WRITES) {
    for (const mode of ["cors", "no-cors"]) {
      await attempt(`${mode} ${method} ${path}`, path, { method, mode });
      for (const type of SIMPLE) {
        await attempt(`${mode} ${method} ${path} ${type}`, path, { method, mode, body, headers: { "Content-Type": type } });
      }
      for (const headers of CUSTOM) {
        await attempt(`${mode} ${method} ${path} ${JSON.stringify(headers)}`, path, { method, mode, body, headers });
      }
    }
    await attempt(`referrer ${path}`, path, { method: "POST", mode: "no-cors", referrerPolicy: "no-referrer" });
    await attempt(`keepalive ${path}`, path, { method: "POST", mode: "no-cors", keepalive: true });
  }
  const form = new URLSearchParams({ username: email, password });
  await attempt("login by form", "/auth/token", { method: "POST", mode: "no-cors", body: form });
  await attempt("login", "/auth/login", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Auth-Transport": "cookie" },
    body: JSON.stringify({ email, password }),
  });
  for (const path of ["/auth/cookies/csrf", "/users/me", "/own/calls"]) {
    await attempt(`read ${path}`, path, {});
    await attempt(`read ${path} opaquely`, path, { mode: "no-cors" });
  }
  navigator.sendBeacon(api + "/auth/logout", new Blob(["x"], { type: "text/plain" }));
  navigator.sendBeacon(api + "/own/private", form);
  return outcomes;
};

/* Forms in frames, also of an origin that is `null`; and elements that send a GET. */
window.attackByFrames = async ([email, password]) => {
  const fields = { username: email, password, full_name: "Eve" };
  const forms = [];
  for (const [, path] of [...WRITES, ["POST", "/auth/token"]]) {
    for (const enctype of SIMPLE) {
      const inputs = Object.entries(fields).map(([name, value]) => `<input name="${name}" value="${value}">`);
      forms.push(`<form method="post" enctype="${enctype}" action="${api}${path}">${inputs.join("")}</form>`);
    }
  }
  const scripts = `<script>document.forms[0].submit()</scr` + `ipt>`;
  const sandboxes = [null, "allow-scripts allow-forms"];
  await Promise.all(forms.flatMap((form) => sandboxes.map((sandbox) => load(form + scripts, sandbox))));
  for (const element of ["img", "script", "iframe", "video"]) {
    const node = document.createElement(element);
    node.src = api + "/auth/logout";
    document.body.append(node);
  }
  return forms.length;
};

async function load(html, sandbox) {
  const frame = document.createElement("iframe");
  if (sandbox !== null) frame.setAttribute("sandbox", sandbox);
  frame.srcdoc = html;
  const loads = new Promise((done) => {
    let times = 0;
    frame.onload = () => (times += 1) === 2 && done();
    setTimeout(done, 5000);
  });
  document.body.append(frame);
  await loads;
  frame.remove();
}

window.navigateByForm = (path) => {
  const form = document.createElement("form");
  form.method = "post";
  form.action = api + path;
  document.body.append(form);
  form.submit();
};
