// Defines the page's elements, and nothing else.

import { RushesApp } from "./elements/rushes-app.js";
import { RushesBell } from "./elements/rushes-bell.js";
import { RushesConnection } from "./elements/rushes-connection.js";
import { RushesImage } from "./elements/rushes-image.js";
import { RushesJob } from "./elements/rushes-job.js";
import { RushesProgress } from "./elements/rushes-progress.js";
import { RushesPrompt } from "./elements/rushes-prompt.js";
import { RushesSearch } from "./elements/rushes-search.js";
import { RushesToasts } from "./elements/rushes-toasts.js";
import { RushesTrouble } from "./elements/rushes-trouble.js";
import { RushesVideo } from "./elements/rushes-video.js";
import { translate } from "./i18n.js";

translate(document);

// Parts before the whole: when rushes-app connects, the elements inside it already work.
customElements.define("rushes-bell", RushesBell);
customElements.define("rushes-connection", RushesConnection);
customElements.define("rushes-progress", RushesProgress);
customElements.define("rushes-image", RushesImage);
customElements.define("rushes-prompt", RushesPrompt);
customElements.define("rushes-search", RushesSearch);
customElements.define("rushes-toasts", RushesToasts);
customElements.define("rushes-trouble", RushesTrouble);
customElements.define("rushes-video", RushesVideo);
customElements.define("rushes-job", RushesJob);
customElements.define("rushes-app", RushesApp);
