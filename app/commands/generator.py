"""`rushes generator`: the simulated generation backend, as a program of its own."""

import asyncio
import os

import click

from app import logs
from app.commands.console import Failure, run_async, settings_or_failure
from app.commands.serve import ending_signals
from app.deliver import endpoint
from app.settings import is_loopback
from app.simulator.backend import JOBS_MAX, Backend
from app.simulator.films import FORMATS, SECONDS_MAX, TAKES_MAX
from app.simulator.reasons import REASONS
from app.simulator.web import FILMS, on_port
from app.simulator.words import WORDS, WordError, check

_WIDTH = max(map(len, WORDS)) + 2
_EPILOG = "\n".join(
    [
        "\b",
        "In a prompt, or in --always for all of them:",
        *(f"  {word:{_WIDTH}}{does}" for word, does in WORDS.items()),
        "",
        "\b",
        "KIND is one of",
        *(f"  {name}" for name in REASONS),
        "",
        f"Videos are made in {', '.join(FORMATS)}, of 1 to {SECONDS_MAX} seconds, 1 to {TAKES_MAX} of an order.",
    ]
)


@click.command(epilog=_EPILOG)
@click.option("--webhooks", help="Where webhooks go; by default the server here.")
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", default=5001, show_default=True, type=click.IntRange(1, 65535))
@click.option("--address", help="What the addresses of videos begin with, where it is not http://HOST:PORT.")
@click.option("--step", type=click.FloatRange(min=0, min_open=True), help="Seconds a stage; default SIMULATED_STEP.")
@click.option("--always", default="", help="Words that count for every prompt, as '[v3] [twice]'.")
@click.option("--jobs", default=JOBS_MAX, show_default=True, type=click.IntRange(min=1), help="Known at once.")
def generator(
    webhooks: str | None, host: str, port: int, address: str | None, step: float | None, always: str, jobs: int
) -> None:
    """The simulated generation backend, for development: makes videos by itself, and fails as it is told.

    Start the server with GENERATOR_URL=http://127.0.0.1:5001. Webhooks are proven with WEBHOOK_SECRET.
    """
    settings = settings_or_failure()
    if settings.app_env == "production":
        raise Failure("the simulated backend is for development: with APP_ENV=production it does not start.")
    try:
        check(always)
        place = endpoint(webhooks or settings.local_url)
    except (WordError, ValueError) as error:
        raise click.UsageError(str(error)) from None
    logs.configure(settings.log_level)
    backend = Backend(
        place,
        settings.sending_secret,
        step=step or settings.simulated_step,
        films=(address or f"http://{_in_address(host)}:{port}").rstrip("/") + FILMS,
        always=always,
        jobs_max=jobs,
    )
    run_async(_serve(backend, host, port, place))


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host


async def _serve(backend: Backend, host: str, port: int, place: str) -> int:
    """Until a signal that ends us."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in ending_signals():
        loop.add_signal_handler(number, stop.set)
    if not is_loopback(host):
        click.echo("rushes: whoever reaches this address can have webhooks sent in its name.", err=True)
    url = f"http://{_in_address(host)}:{port}"
    try:
        async with backend, on_port(backend, host, port):
            click.echo(f"\n  The simulated backend is at {url}   (Ctrl-C stops it)\n")
            click.echo(f"  Webhooks go to {place}\n  Start the server with GENERATOR_URL={url}\n")
            await stop.wait()
    except OSError as error:
        raise Failure(f"cannot listen on {host}:{port}: {os.strerror(error.errno or 0)}") from None
    return 0
