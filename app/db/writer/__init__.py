"""Webhooks to committed changes: each exactly once, many in one transaction.

A delivery waits in the queue (`queue`), is taken with others into a batch (`batch`), whose transaction reads and locks
all that it touches (`read_set`), decides, writes and records (`inbox`). Its outcome is then told to its sender. It
leaves that way in three cases:

- The batch fails because of one of its deliveries: it is halved, until the culprit is alone; it becomes a dead letter,
  or is tried again later.
- The database is away, or the answer is due: it goes to the spool and its sender hears `queued`. The drainer (`drain`)
  hands it in again, in the order of receipt, when the database takes it.
- It fails alone again and again: it is set aside (`set_aside`), out of the way of all others.
"""
