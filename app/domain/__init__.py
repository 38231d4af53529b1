"""The rules, pure: no clock but the one passed in, nothing read, nothing written.

A body in any version (`payload`) becomes a status update; what a job makes of it is decided in `job`, by the position
it stands at. What goes out is in `event`, what comes in and what became of it in `delivery`.
"""
