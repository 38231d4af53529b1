"""The command `rushes`: one file for each of its commands, which `cli` imports when that one is asked for.

`serve` serves in its own process, or as `supervisor` has several `worker`s do it.
"""
