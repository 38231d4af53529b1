"""HTTP: each handler reads, asks who it is (`callers`, or `senders`), calls one room, answers.

Every error leaves in one form (`errors`). What a route does stands over its handler (`describe`), `openapi` tells it,
and the tests hold every answer to it.
"""
