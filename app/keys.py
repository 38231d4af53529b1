"""What the application holds, by name."""

from aiohttp import web

from app.db.log import Log
from app.db.pool import Pool
from app.db.videos import Videos
from app.db.writer import Writer
from app.generator import Generator
from app.push.follower import Follower
from app.push.hub import Hub
from app.settings import Settings
from app.wire import Typical

SETTINGS = web.AppKey("settings", Settings)
POOL = web.AppKey("pool", Pool)
VIDEOS = web.AppKey("videos", Videos)
LOG = web.AppKey("log", Log)
WRITER = web.AppKey("writer", Writer)
HUB = web.AppKey("hub", Hub)
FOLLOWER = web.AppKey("follower", Follower)
TYPICAL = web.AppKey("typical", Typical)
GENERATOR = web.AppKey("generator", Generator)
