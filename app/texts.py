"""What users read of their jobs, in the languages of APP_LANGUAGE: stored as a job's `message` or `error`."""

from typing import Literal, Protocol

Language = Literal["fr", "en"]

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
        "cancelled": "Génération annulée",
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
        "cancelled": "Generation cancelled",
    },
}

ABOUT = {
    "fr": "Des vidéos générées par IA, suivies en direct.",
    "en": "AI videos, followed live as they are made.",
}
"""What the site is, for whoever is shown a link to it."""

# The page at an address that leads nowhere.
MISSING: Texts = {
    "fr": {
        "title": "Rien ici",
        "lead": "Cette adresse ne mène à aucune page, ou n'y mène plus.",
        "home": "Voir mes vidéos",
    },
    "en": {
        "title": "Nothing here",
        "lead": "This address leads to no page, or no longer does.",
        "home": "See my videos",
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

# What a notification says of the end of a job. `several` stands over many of them.
NOTICES: Texts = {
    "fr": {
        "completed": "Vidéo prête",
        "failed": "Échec de la génération",
        "untitled": "Vidéo {job_id}",
        "several": "{count} générations terminées",
    },
    "en": {
        "completed": "Video ready",
        "failed": "Generation failed",
        "untitled": "Video {job_id}",
        "several": "{count} generations have ended",
    },
}

ADVICE: Texts = {
    "fr": {
        "safety": "Le contenu a été refusé par le filtre de sécurité. Reformulez la description.",
        "safety/image": "L'image fournie a été refusée (personnes, mineurs ou marques). Choisissez-en une autre.",
        "safety/prompt": "La description a été refusée par le filtre de sécurité. Reformulez-la.",
        "safety/output": "Le résultat a été filtré, et n'est pas facturé. Un nouvel essai peut passer.",
        "audio": "La bande-son a été filtrée. Réessayez, ou demandez la vidéo sans paroles ni musique.",
        "quota": "Le service de génération est très demandé. Réessayez dans quelques minutes.",
        "quota/day": "Le quota de générations est épuisé. Réessayez demain.",
        "access": "Le service de génération n'est pas accessible avec nos réglages. C'est à nous d'intervenir.",
        "parameter": "Un réglage de la demande n'est pas accepté par le service. C'est à nous d'intervenir.",
        "parameter/persons": "Ce réglage des personnes n'est pas permis. Choisissez « adultes » ou « aucune ».",
        "parameter/image": "L'image fournie n'est pas acceptée par le service. Choisissez-en une autre.",
        "parameter/prompt": "La description n'est pas acceptée par le service. Modifiez-la.",
        "cancelled": "La génération a été annulée. Vous pouvez la relancer.",
        "timeout": "La génération a pris trop de temps. Réessayez.",
        "transient": "Le service de génération a eu une erreur passagère. Réessayez.",
        "storage": "La vidéo a été produite, mais n'a pas pu être enregistrée. Réessayez.",
        "no_video": "Le service n'a produit aucune vidéo, ou pas toutes. Réessayez une fois.",
        "unreachable": "Le service de génération ne répond pas. Réessayez dans quelques minutes.",
        "other": "La raison n'est pas connue. Modifiez la description, ou réessayez plus tard.",
        "child": "Elle concerne des mineurs.",
        "celebrity": "Elle concerne des personnes connues.",
        "video_safety": "La vidéo elle-même a été jugée inappropriée.",
        "dangerous": "Elle concerne un contenu dangereux.",
        "hate": "Elle concerne un contenu haineux.",
        "prohibited": "Elle concerne un contenu interdit.",
        "third_party_content": "Elle concerne des marques ou des œuvres protégées.",
        "sexual": "Elle concerne un contenu sexuel.",
        "toxic": "Elle concerne un contenu injurieux.",
        "violence": "Elle concerne un contenu violent.",
        "vulgar": "Elle concerne un contenu vulgaire.",
    },
    "en": {
        "safety": "The safety filter refused the content. Put the description in other words.",
        "safety/image": "The image was refused (persons, minors or brands). Use another one.",
        "safety/prompt": "The safety filter refused the description. Put it in other words.",
        "safety/output": "The result was filtered, and is not charged. Another try, or other words, may pass.",
        "audio": "The soundtrack was filtered. Try again, or ask for the video without speech or music.",
        "quota": "The generation service is busy. Try again in a few minutes.",
        "quota/day": "The quota of generations is used up. Try again tomorrow.",
        "access": "The generation service cannot be used with our settings. It is for us to act.",
        "parameter": "The service does not accept a setting of this order. It is for us to act.",
        "parameter/persons": "This setting of persons is not allowed. Choose adults only, or none.",
        "parameter/image": "The service does not accept the image. Use another one.",
        "parameter/prompt": "The service does not accept the description. Change it.",
        "cancelled": "The generation was cancelled. You can start it again.",
        "timeout": "The generation took too long. Try again.",
        "transient": "The generation service had an error that passes. Try again.",
        "storage": "The video was made, but could not be stored. Try again.",
        "no_video": "The service made no video, or not all. Try again once.",
        "unreachable": "The generation service does not answer. Try again in a few minutes.",
        "other": "The reason is not known. Change the description, or try again later.",
        "child": "It is about minors.",
        "celebrity": "It is about well-known persons.",
        "video_safety": "The video itself was found unsuitable.",
        "dangerous": "It is about dangerous content.",
        "hate": "It is about hateful content.",
        "prohibited": "It is about prohibited content.",
        "third_party_content": "It is about brands or protected works.",
        "sexual": "It is about sexual content.",
        "toxic": "It is about abusive content.",
        "violence": "It is about violent content.",
        "vulgar": "It is about vulgar content.",
    },
}
"""What to do about a failure, by its kind, or kind and side; and what of safety it is about."""


class Blamed(Protocol):
    @property
    def kind(self) -> str: ...
    @property
    def side(self) -> str | None: ...
    @property
    def category(self) -> str | None: ...


def advice(failure: Blamed, language: Language) -> str:
    """One sentence or two that say what to do."""
    texts = ADVICE[language]
    about = None if failure.category == "other" else texts.get(failure.category or "")
    said = texts.get(f"{failure.kind}/{failure.side}") or texts[failure.kind]
    return f"{said} {about}" if about else said
