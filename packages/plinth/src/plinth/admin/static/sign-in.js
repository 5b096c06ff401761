// The button "Use a passkey" of the sign-in page. The form sends the passkey to the server.

const form = document.querySelector("form[data-passkey-options]");
const { passkeyOptions, passkeyOrigins } = form.dataset;
const button = form.querySelector("[data-plinth=use-passkey]");
const note = form.querySelector("[data-plinth=passkey-note]");

function explain() {
  if (!window.PublicKeyCredential?.parseRequestOptionsFromJSON && window.isSecureContext) {
    return "This browser cannot use passkeys.";
  }
  const origins = passkeyOrigins.split(" ");
  if (origins.includes(location.origin)) return "";
  return `Passkeys work only at ${origins.join(", ")} (setting PASSKEY_ORIGINS). Open this page there.`;
}

async function usePasskey() {
  const { challenge, credential, csrftoken } = form.elements;
  const response = await fetch(passkeyOptions, {
    method: "POST",
    headers: { "X-CSRFToken": csrftoken.value },
    body: new URLSearchParams({ challenge: challenge?.value ?? "" }),
  });
  const content = await response.json().catch(() => ({})); // an invalid CSRF token gets plain text
  if (!response.ok) throw new Error(content.detail ?? "The page has expired: reload it and try again.");
  const publicKey = PublicKeyCredential.parseRequestOptionsFromJSON(content);
  const used = await navigator.credentials.get({ publicKey });
  credential.value = JSON.stringify(used.toJSON());
  form.submit();
}

function showError(error) {
  const isCancelled = error.name === "NotAllowedError";
  const alert = form.querySelector("[role=alert]");
  alert.textContent = isCancelled ? "The passkey was not used: you cancelled, or it took too long." : error.message;
  alert.hidden = false;
}

if (button) {
  note.textContent = explain();
  note.hidden = !note.textContent;
  button.hidden = !note.hidden;
  button.addEventListener("click", async () => {
    button.disabled = true;
    await usePasskey().catch(showError);
    button.disabled = false;
  });
}
