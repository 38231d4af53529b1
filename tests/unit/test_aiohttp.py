"""What we rest on of aiohttp without its promise: docs/decisions.md, 50."""

import ast
import asyncio
import inspect

import pytest
from aiohttp import web
from aiohttp.test_utils import make_mocked_request
from aiohttp.web_protocol import RequestHandler

from app import server
from app.push import subscriber
from app.routes.whole import SERVER


@pytest.mark.parametrize("name", ["_manager", "_current_request", "max_field_size", "transport"])
def test_connection_has_what_the_server_and_the_take_over_touch(name: str) -> None:
    slots = {slot for kind in RequestHandler.__mro__ for slot in getattr(kind, "__slots__", ())}
    assert name in slots or hasattr(RequestHandler, name)


def test_connection_tells_whether_writing_is_paused() -> None:
    assert isinstance(inspect.getattr_static(RequestHandler, "writing_paused"), property)


async def test_server_and_runner_have_what_ours_touch() -> None:
    runner = web.AppRunner(web.Application(), shutdown_timeout=7)
    assert inspect.iscoroutinefunction(web.AppRunner._make_server)
    await runner.setup()
    try:
        assert isinstance(runner._server, web.Server)
        assert runner._shutdown_timeout == 7
        assert runner._server._loop is asyncio.get_running_loop()
        assert isinstance(runner._server._kwargs, dict)
        for name in ("request_factory", "request_handler", "connections"):
            assert hasattr(runner._server, name)
    finally:
        await runner.cleanup()


async def test_answer_that_names_no_server_names_ours() -> None:
    """By a constant of aiohttp's, which is set once for all answers."""
    answer = web.Response()
    await answer.prepare(make_mocked_request("GET", "/"))
    assert answer.headers["Server"] == SERVER


def test_privates_that_are_touched_are_those_that_the_decision_names() -> None:
    named = {"_make_server", "_server", "_shutdown_timeout", "_loop", "_kwargs", "_manager", "_current_request"}
    touched = set()
    for module in (server, subscriber):
        nodes = list(ast.walk(ast.parse(inspect.getsource(module))))
        defined = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
        slots = {node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)}
        stored = {node.attr for node in nodes if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)}
        read = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
        private = {name for name in read if name.startswith("_") and not name.startswith("__")}
        touched |= private - defined - slots - stored
    assert touched <= named
