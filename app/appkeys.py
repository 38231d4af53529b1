"""What the application holds, by name."""

from collections.abc import Callable
from typing import Any

from aiohttp import web

from app.auth.proxies import FailureLimit
from app.auth.refusals import Refusals
from app.auth.tickets import Tickets
from app.auth.tokens import Tokens
from app.db.acts import Acts
from app.db.audit import Audit
from app.db.changes import Changes
from app.db.dead_letters import ReceivedWebhooks
from app.db.gallery import Gallery
from app.db.generations import Generations
from app.db.log import Log
from app.db.people import People
from app.db.pool import Pool
from app.db.processes import Processes
from app.db.redo_log import RedoLog
from app.db.register import Registrar
from app.db.replays import Replays
from app.db.samples import Samples
from app.db.snapshots import Snapshots
from app.db.spool.spool import Spool
from app.db.standing import Standings
from app.db.subscriptions import Subscriptions
from app.db.traces import TracedEvents
from app.db.videos import Videos
from app.db.webhook_list import WebhookList
from app.db.writer.writer import Writer
from app.domain.estimate import Estimates
from app.domain.event import LogEvent
from app.generator import Generator
from app.metrics import Metrics
from app.push.bus import Bus
from app.push.follower import Follower
from app.push.hub import Hub
from app.push.stream import Streams
from app.push.traces import Traces
from app.readiness import Readiness
from app.rendered import Kept, Piece
from app.settings import Settings
from app.shares import Shares
from app.siblings import Siblings
from app.storage import Storage
from app.turns import Together, Turns
from app.upkeep.leader import Leader
from app.upkeep.parked import Parked
from app.upkeep.reconcile import Reconciler
from app.upkeep.tail import Tail
from app.webpush import WebPush

SETTINGS = web.AppKey("settings", Settings)
POOL = web.AppKey("pool", Pool)
FOLLOWING = web.AppKey("following", Pool)
READINESS = web.AppKey("readiness", Readiness)
GALLERY = web.AppKey("gallery", Gallery)
REDO_LOG = web.AppKey("redo_log", RedoLog)
VIDEOS = web.AppKey("videos", Videos)
SNAPSHOTS = web.AppKey("snapshots", Snapshots)
STORAGE = web.AppKey("storage", Storage)
AUDIT = web.AppKey("audit", Audit)
GENERATIONS = web.AppKey("generations", Generations)
ACTS = web.AppKey("acts", Acts)
REGISTRAR = web.AppKey("registrar", Registrar)
LOG = web.AppKey("log", Log)
SPOOL = web.AppKey("spool", Spool)
RECEIVED = web.AppKey("received", ReceivedWebhooks)
WEBHOOK_LIST = web.AppKey("webhook_list", WebhookList)
CHANGES = web.AppKey("changes", Changes)
TAIL = web.AppKey("tail", Tail)
REPLAYS = web.AppKey("replays", Replays)
PARKED = web.AppKey("parked", Parked)
STANDINGS = web.AppKey("standings", Standings)
PROCESSES = web.AppKey("processes", Processes)
LEADER = web.AppKey("leader", Leader)
WRITER = web.AppKey("writer", Writer)
FAILURES = web.AppKey("failures", FailureLimit)
UNPROVEN = web.AppKey("unproven", Shares)
UPLOADS = web.AppKey("uploads", Shares)
ORDERS = web.AppKey("orders", Shares)
ANSWERS = web.AppKey("answers", Shares)
READING = web.AppKey("reading", Turns)
LISTINGS = web.AppKey("listings", Together[Any])
"""Of pages that are being made: routes.listing.Listing."""
TOLD = web.AppKey("told", Kept[Any])
"""Pages as they were told: routes.listing.Told."""
RENDERED = web.AppKey("rendered", Kept[Piece])
HUB = web.AppKey("hub", Hub)
METRICS = web.AppKey("metrics", Metrics)
SIBLINGS = web.AppKey[Siblings | None]("siblings")
"""None of a server of one process."""
TRACES = web.AppKey("traces", Traces)
TRACED = web.AppKey("traced", TracedEvents)
STREAMS = web.AppKey("streams", Streams)
FOLLOWER = web.AppKey("follower", Follower)
BUS = web.AppKey[Bus | None]("bus")
COMMITTED = web.AppKey[Callable[[list[LogEvent]], None]]("committed")
PEOPLE = web.AppKey("people", People)
TOKENS = web.AppKey[Tokens | None]("tokens")
TICKETS = web.AppKey("tickets", Tickets)
REFUSALS = web.AppKey("refusals", Refusals)
ESTIMATES = web.AppKey("estimates", Estimates)
SAMPLES = web.AppKey("samples", Samples)
GENERATOR = web.AppKey("generator", Generator)
RECONCILER = web.AppKey("reconciler", Reconciler)
PUSH = web.AppKey[WebPush | None]("push")
SUBSCRIPTIONS = web.AppKey("subscriptions", Subscriptions)
