"""What users read of their jobs, in the languages of APP_LANGUAGE: stored as a job's `message` or `error`."""

Texts = dict[str, dict[str, str]]
"""By language, then by what is said."""

MESSAGES: Texts = {
    "fr": {
        "pending": "En attente de traitement",
        "processing": "Traitement en cours",
        "generating": "Génération de la vidéo en cours",
        "downloading": "Téléchargement de la vidéo depuis Google",
        "files_awaited": "Génération terminée, en attente des fichiers",
        "completed": "Génération terminée avec succès",
        "failed": "La génération a échoué",
        "failed_for": 'Échec de génération pour: "{prompt}"',
        "failed_unknown": "Erreur inconnue lors de la génération",
        "nothing_produced": "Aucune vidéo n'a été produite",
    },
    "en": {
        "pending": "Waiting to be processed",
        "processing": "Processing",
        "generating": "Generating the video",
        "downloading": "Downloading the video from Google",
        "files_awaited": "Generation finished, waiting for the files",
        "completed": "Generation finished successfully",
        "failed": "Generation failed",
        "failed_for": 'Generation failed for: "{prompt}"',
        "failed_unknown": "Unknown error during generation",
        "nothing_produced": "No video was produced",
    },
}

# Why a generation was not started.
NOT_STARTED: Texts = {
    "fr": {
        "refused": "Le service de génération a refusé cette vidéo : {reason}",
        "unexplained": "Le service de génération a refusé cette vidéo, sans dire pourquoi (HTTP {status}).",
        "silent": "Le service de génération ne répond pas.",
        "none": "Aucun service de génération n'est configuré (GENERATOR_URL).",
    },
    "en": {
        "refused": "The generation backend refused this video: {reason}",
        "unexplained": "The generation backend refused this video, and did not say why (HTTP {status}).",
        "silent": "The generation backend does not answer.",
        "none": "No generation backend is set (GENERATOR_URL).",
    },
}

# Why a job that nobody reports on was given up.
GIVEN_UP: Texts = {
    "fr": {
        "unknown": "Le service de génération ne connaît pas cette vidéo ; abandon après {span} sans nouvelles.",
        "silent": "Le service de génération ne répond pas ; abandon après {span} sans nouvelles.",
    },
    "en": {
        "unknown": "The generation backend does not know this video; given up after {span} without news.",
        "silent": "The generation backend does not answer; given up after {span} without news.",
    },
}
