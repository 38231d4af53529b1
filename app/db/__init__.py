"""The database: what is asked of it and what is written, by whom, in which order.

Only the writer (`writer/`) moves jobs by webhooks, and only the registrar (`register`) makes them; each commits the
change, its event and the log's counter in one transaction. Everything else reads. What cannot be committed yet lies in
the spool (`spool/`), on local disk. Of a session (`connection`), what it states and reads back is in `session`; all
errors are judged in `errors`.
"""
