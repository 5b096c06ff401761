"use strict";

// What starlette-admin's templates do in attributes, which the policy forbids.
document.addEventListener("click", (event) => {
  if (event.target.closest("[data-plinth=apply-columns]")) window.applyColumnVisibility();
});
document.addEventListener("change", (event) => {
  if (event.target.matches("[data-plinth=go-to-value]")) window.location = event.target.value;
});
