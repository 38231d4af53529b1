"""Statistics: what changed is counted again, soon after it was committed."""

import time

from app.db.pool import Pool
from app.db.rollups import Rollups
from app.upkeep.leader import Leader

# A rest is so many times as long as the round before it: counting takes a twentieth of the database's time at most,
# however many webhooks a quarter of an hour has. But no longer than so many seconds: a round that waited for a busy
# machine is no reason to tell old figures for minutes.
_SHARE = 20
_REST_MAX = 10.0

# Seconds of a round for quarters from before there were statistics.
_WALK = 0.5


class RollupRounds:
    """Keeps the rollups, in the process that leads, every so many seconds. A round costs what has changed since the
    last one, and the quarters in which that is."""

    def __init__(self, pool: Pool, leader: Leader, *, every: float) -> None:
        self._rollups = Rollups(pool)
        self._leader = leader
        self._every = every
        self._rest_until = 0.0

    async def run(self) -> None:
        """Runs until cancelled."""
        await self._leader.repeat("rollups", self._round, self._every)

    async def _round(self) -> None:
        if time.monotonic() < self._rest_until:
            return
        began = time.monotonic()
        while await self._rollups.follow():
            pass
        while await self._rollups.recount():
            pass
        counted = time.monotonic()
        self._rest_until = counted + min(_SHARE * (counted - began), _REST_MAX)
        while time.monotonic() < counted + _WALK and await self._rollups.walk():
            # Where quarters are still to be counted for the first time, there is no rest.
            self._rest_until = 0.0
