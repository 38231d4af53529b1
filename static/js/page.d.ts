// What tsc cannot see in the modules: which element has which tag, and what their events bring.

import type { Order, Query, Started } from "./api.js";
import type { RushesApp } from "./elements/rushes-app.js";
import type { RushesBell } from "./elements/rushes-bell.js";
import type { RushesConnection } from "./elements/rushes-connection.js";
import type { RushesImage } from "./elements/rushes-image.js";
import type { Act, RushesJob } from "./elements/rushes-job.js";
import type { RushesJobPage } from "./elements/rushes-job-page.js";
import type { RushesProgress } from "./elements/rushes-progress.js";
import type { RushesPrompt } from "./elements/rushes-prompt.js";
import type { RushesSearch } from "./elements/rushes-search.js";
import type { RushesToasts } from "./elements/rushes-toasts.js";
import type { RushesTrouble } from "./elements/rushes-trouble.js";
import type { RushesVideo } from "./elements/rushes-video.js";

declare global {
  interface HTMLElementTagNameMap {
    "rushes-app": RushesApp;
    "rushes-bell": RushesBell;
    "rushes-connection": RushesConnection;
    "rushes-image": RushesImage;
    "rushes-job": RushesJob;
    "rushes-job-page": RushesJobPage;
    "rushes-progress": RushesProgress;
    "rushes-prompt": RushesPrompt;
    "rushes-search": RushesSearch;
    "rushes-toasts": RushesToasts;
    "rushes-trouble": RushesTrouble;
    "rushes-video": RushesVideo;
  }

  interface HTMLElementEventMap {
    "rushes:act": CustomEvent<{ act: Act, byKeyboard: boolean }>;
    "rushes:generated": CustomEvent<Order & Started>;
    "rushes:image": CustomEvent<string | null>;
    "rushes:notice": CustomEvent<{ text: string }>;
    "rushes:reveal": CustomEvent<{ id: string }>;
    "rushes:refresh": CustomEvent<null>;
    "rushes:search": CustomEvent<Query | null>;
  }

  /** Swagger UI's, of static/vendor. */
  function SwaggerUIBundle(options: object): void;
}
