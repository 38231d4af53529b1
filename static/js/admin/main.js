// Defines the elements of the operator's page, and nothing else.

import { RushesConnection } from "../elements/rushes-connection.js";
import { learn, translate } from "../i18n.js";
import { RushesAdmin } from "./elements/rushes-admin.js";
import { RushesAudit } from "./elements/rushes-audit.js";
import { RushesBulk } from "./elements/rushes-bulk.js";
import { RushesFigures } from "./elements/rushes-figures.js";
import { RushesFilters } from "./elements/rushes-filters.js";
import { RushesGenerations } from "./elements/rushes-generations.js";
import { RushesNow } from "./elements/rushes-now.js";
import { RushesReplays } from "./elements/rushes-replays.js";
import { RushesStalled } from "./elements/rushes-stalled.js";
import { RushesWebhook } from "./elements/rushes-webhook.js";
import { RushesWebhooks } from "./elements/rushes-webhooks.js";
import { TEXTS } from "./texts.js";

learn(TEXTS);
translate(document);

// The whole before what asks by itself: it hears the first answer.
customElements.define("rushes-connection", RushesConnection);
customElements.define("rushes-audit", RushesAudit);
customElements.define("rushes-bulk", RushesBulk);
customElements.define("rushes-figures", RushesFigures);
customElements.define("rushes-generations", RushesGenerations);
customElements.define("rushes-filters", RushesFilters);
customElements.define("rushes-webhooks", RushesWebhooks);
customElements.define("rushes-replays", RushesReplays);
customElements.define("rushes-stalled", RushesStalled);
customElements.define("rushes-webhook", RushesWebhook);
customElements.define("rushes-admin", RushesAdmin);
customElements.define("rushes-now", RushesNow);
