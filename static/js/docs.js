// Swagger UI in place of the list that the server wrote. It comes by package at set-up.

const dark = matchMedia("(prefers-color-scheme: dark)");

function follow() {
  document.documentElement.classList.toggle("dark-mode", dark.matches);
}

dark.addEventListener("change", follow);
follow();

SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#docs",
  deepLinking: true,
  docExpansion: "list",
  // No key, token or secret that was typed here is kept in the browser.
  persistAuthorization: false,
  // It would send the document's address to a validator elsewhere.
  validatorUrl: null,
});
