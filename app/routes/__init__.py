"""HTTP: each handler reads, asks who it is (`callers`, or `senders`), calls one room, answers.

Every error leaves in one form (`errors`). `openapi` describes what is here, and the tests hold every answer to it.
"""
