"""Who did what: what admins and commands change is written down, by them that change it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

Means = Literal["admin", "command"]

Act = Literal[
    "replay", "discard", "replay_many", "abort", "cancel", "dismiss", "delete", "restore", "register", "retry",
    "ask", "purge", "rollups",
]  # fmt: skip


class Actor(NamedTuple):
    """Somebody who acts: a user of the API, by his `sub`, or whoever types a command, as the machine calls him."""

    who: str
    means: Means


class OnWebhook(NamedTuple):
    """A webhook that somebody tries again; `replay_id` names the replay of many that it is a part of."""

    by: Actor
    webhook_id: str
    replay_id: str | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """One act. `was` and `became` tell what it changed, in a few words by name."""

    by: Actor
    act: Act
    webhook_id: str | None = None
    job_id: str | None = None
    replay_id: str | None = None
    was: Mapping[str, Any] | None = None
    became: Mapping[str, Any] | None = None
