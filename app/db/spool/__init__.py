"""Accepted webhooks on local disk, until the database has them.

A webhook is pending from `put` until `remove`; set aside from `put_aside` until it is put back, handed out no more.
A file is a process's own, or dead: its process has gone, or its disk has failed. A dead one's rows are moved into the
own file by `adopt`, and only then is it deleted.
"""
