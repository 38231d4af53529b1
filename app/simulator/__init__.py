"""The simulated generation backend: a program over HTTP, told by words in prompts how to behave.

`words` and `reasons` say what can be asked of it, `films` makes the videos, `bodies` the webhooks; `backend` has the
jobs and sends, `web` is what is asked over HTTP.
"""
