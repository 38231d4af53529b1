"""What is done again and again, by one process of all: the leader, who holds a lock of the database.

One duty a file: parked webhooks whose job has appeared (`parked`), jobs that nobody reports on (`reconcile`), rows that
are older than they may be (`retention`). A duty that fails is logged once and tried again after longer and longer
pauses; a leader that loses its session leads no more, and another one takes over.
"""
