"""What the simulated backend says of a failure, of each kind and side that docs/failures.md knows. Pure."""

from typing import NamedTuple


class Reason(NamedTuple):
    """`status` is that of HTTP where the order itself is refused."""

    status: int
    text: str


REASONS: dict[str, Reason] = {
    "safety": Reason(400, "PUBLIC_ERROR_UNSAFE_GENERATION: this request was blocked."),
    "safety/image": Reason(400, "The input image was rejected. Support codes: 15236754"),
    "safety/prompt": Reason(
        400, "The prompt could not be submitted: it has words that violate our policies. Support codes: 61493863"
    ),
    "safety/output": Reason(
        400, "The video could not be generated: it may violate our policies. Support codes: 42237218"
    ),
    "audio": Reason(400, "There is an issue with the audio for your prompt; nothing is charged."),
    "quota": Reason(429, "429 RESOURCE_EXHAUSTED: too many requests; try again later."),
    "quota/day": Reason(429, "429 RESOURCE_EXHAUSTED: you exceeded your current quota."),
    "access": Reason(403, "403 PERMISSION_DENIED: this account may not use the model."),
    "parameter": Reason(400, "400 INVALID_ARGUMENT: a field has a value that is not supported."),
    "parameter/persons": Reason(400, "The value allow_all for personGeneration is not supported."),
    "parameter/image": Reason(400, "400 INVALID_ARGUMENT: the image cannot be read."),
    "parameter/prompt": Reason(400, "400 INVALID_ARGUMENT: the prompt is too long."),
    "cancelled": Reason(409, "499 CANCELLED: the operation was cancelled."),
    "timeout": Reason(504, "504 DEADLINE_EXCEEDED: the operation timed out."),
    "storage": Reason(500, "The video was made, but the upload to S3 failed: AccessDenied"),
    "transient": Reason(503, "503 UNAVAILABLE: the model is overloaded."),
    "no_video": Reason(500, "No video was produced."),
    "unreachable": Reason(502, "502 Bad Gateway: connection refused"),
    "other": Reason(500, "Something went wrong."),
}
"""By kind, or kind and side."""
