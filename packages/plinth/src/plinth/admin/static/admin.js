"use strict";

// Replaces inline event handlers of starlette-admin, which the Content-Security-Policy forbids.
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-plinth=apply-columns]")) window.applyColumnVisibility();
});
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-plinth=go-to-value]")) window.location = event.target.value;
});
