// What tsc cannot see in the modules of the operator's page: which element has which tag, and what their events bring.

import type { Refusal } from "../refusal.js";
import type { Webhook } from "./api.js";
import type { RushesAdmin } from "./elements/rushes-admin.js";
import type { RushesAudit } from "./elements/rushes-audit.js";
import type { RushesBulk } from "./elements/rushes-bulk.js";
import type { RushesFigures } from "./elements/rushes-figures.js";
import type { RushesFilters } from "./elements/rushes-filters.js";
import type { RushesGenerations } from "./elements/rushes-generations.js";
import type { RushesNow } from "./elements/rushes-now.js";
import type { RushesReplays } from "./elements/rushes-replays.js";
import type { RushesStalled } from "./elements/rushes-stalled.js";
import type { RushesWebhook } from "./elements/rushes-webhook.js";
import type { RushesWebhooks } from "./elements/rushes-webhooks.js";

declare global {
  interface HTMLElementTagNameMap {
    "rushes-admin": RushesAdmin;
    "rushes-audit": RushesAudit;
    "rushes-bulk": RushesBulk;
    "rushes-figures": RushesFigures;
    "rushes-filters": RushesFilters;
    "rushes-generations": RushesGenerations;
    "rushes-now": RushesNow;
    "rushes-replays": RushesReplays;
    "rushes-stalled": RushesStalled;
    "rushes-webhook": RushesWebhook;
    "rushes-webhooks": RushesWebhooks;
  }

  interface HTMLElementEventMap {
    "rushes:acted": CustomEvent<Webhook>;
    "rushes:answered": CustomEvent<boolean>;
    "rushes:changed": CustomEvent<Webhook>;
    "rushes:go": CustomEvent<string>;
    "rushes:picked": CustomEvent<string[]>;
    "rushes:refused": CustomEvent<Refusal>;
    "rushes:say": CustomEvent<string>;
    "rushes:unpick": CustomEvent<null>;
  }

  interface Window {
    /** Of static/vendor. */
    uPlot: typeof import("uplot");
  }
}
