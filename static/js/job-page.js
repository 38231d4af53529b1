// Defines the elements of the page of one job, and nothing else.

import { RushesConnection } from "./elements/rushes-connection.js";
import { RushesJobPage } from "./elements/rushes-job-page.js";
import { RushesProgress } from "./elements/rushes-progress.js";
import { RushesToasts } from "./elements/rushes-toasts.js";
import { RushesTrouble } from "./elements/rushes-trouble.js";
import { RushesVideo } from "./elements/rushes-video.js";
import { translate } from "./i18n.js";

translate(document);

// Parts before the whole, as in main.js.
customElements.define("rushes-connection", RushesConnection);
customElements.define("rushes-progress", RushesProgress);
customElements.define("rushes-toasts", RushesToasts);
customElements.define("rushes-trouble", RushesTrouble);
customElements.define("rushes-video", RushesVideo);
customElements.define("rushes-job-page", RushesJobPage);
