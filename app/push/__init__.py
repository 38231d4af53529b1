"""Committed events to open streams.

The follower puts commits, its own and those that the bus tells, into the log's order; the hub writes each, encoded
once, to every socket of its channels. A stream is coming (counted, its snapshot being read), open (its socket is ours,
what it lacks is replayed), live (the hub writes to it), closed (nothing is written any more), and then forgotten.
"""
