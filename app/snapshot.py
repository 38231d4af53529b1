"""What a stream begins with: read by `db`, sent by `push`, which do not know each other."""

from app.db.snapshots import Snapshots
from app.domain.estimate import Estimates
from app.push.stream import Snapshot
from app.times import now


async def snapshot(snapshots: Snapshots, estimates: Estimates, job_id: str | None, user_id: str) -> Snapshot:
    """The present state of a job, nothing if there is none; or else of the user's newest unfinished jobs."""
    if job_id is None:
        state = await snapshots.of_user(user_id)
        return Snapshot(state.head, await state.events(estimates))
    head, job = await snapshots.of_job(job_id)
    if job is None:
        return Snapshot(head, [])
    return Snapshot(head, [job.event(estimates)], max(0, now() - job.moved_at) / 1e6)
