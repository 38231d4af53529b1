"""Who may come in: senders by their signature, users by their token or ticket, both within a limit of failures.

A request's address is what the trusted proxies say it is (`proxies`). A sender proves a secret (`signature`). A user
shows an access token (`tokens`, whose keys are a secret of ours or those of `jwks`), or on a stream a ticket
(`tickets`). Whatever is wrong, nobody gets in; why is counted and told in the log (`refusals`), not to the stranger.
"""
