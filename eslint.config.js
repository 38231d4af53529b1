// The rules for the page's JavaScript. Names and types are tsc's business: tsconfig.json.

import js from "@eslint/js";

const MARKUP = ["innerHTML", "outerHTML", "insertAdjacentHTML", "setHTMLUnsafe"];
const message = "What senders say must never become markup: use textContent, or stamp() a <template>.";

export default [
  { ignores: ["static/vendor/"] },
  { linterOptions: { reportUnusedDisableDirectives: "error" } },
  js.configs.recommended,
  {
    rules: {
      "no-undef": "off",
      "no-restricted-properties": ["error", ...MARKUP.map((property) => ({ property, message }))],
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-new-func": "error",
      "no-console": "error",
      "complexity": ["error", 13],
      "max-lines": ["error", 400],
      "max-lines-per-function": ["error", { max: 50, skipComments: true }],
      "array-callback-return": "error",
      "eqeqeq": ["error", "always", { null: "ignore" }],
      "no-duplicate-imports": "error",
      "no-else-return": "error",
      "no-param-reassign": "error",
      "no-shadow": "error",
      "no-useless-return": "error",
      "no-var": "error",
      "object-shorthand": "error",
      "prefer-const": "error",
      "prefer-template": "error",
      "radix": "error",
    },
  },
];
