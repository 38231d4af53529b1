"""Webhooks to committed changes: each exactly once, many in one transaction.

Where a delivery is, and how it goes on from there:

    waiting     in the queue (`queue`). The writer takes it into a batch. When its time is up, or the database is away,
                it is put off to the disk (`outage`).
    in a batch  (`batch`) A transaction reads and locks all that it touches (`read_set`), decides, writes (`write_set`)
                and records (`inbox`). The commit settles it. If its job is held, it waits again. If the batch fails for
                one of its deliveries, it is halved until that one is solo: solo, it becomes a dead letter, or waits
                again (`writer`).
    on disk     in the spool, and its sender has heard `queued`. The drainer (`drain`) puts it into the queue, where it
                waits as any other does. It leaves the disk after its commit, not before.
    aside       (`set_aside`) It failed solo again and again: it stays on the disk, out of the way of all others, until
                somebody asks for another try.
    settled     Its outcome is committed, and told to whoever waits for it.

Only what is on disk or settled is answered with 2xx. Whatever the process dies of in between, the sender has no answer,
and sends it again.
"""
