"""What the server puts into the files of the pages."""

import re

import pytest

from tests.client import Client


@pytest.mark.parametrize("path", ["/", "/jobs/j1", "/admin", "/docs", "/nowhere"])
async def test_every_page_has_its_head_and_no_place_that_was_left_empty(server: Client, path: str) -> None:
    async with server.session.get(server.url + path, headers={"Accept": "text/html"}) as answer:
        page = await answer.text()
    head = page.partition("<body")[0]
    for once in ('<meta charset="utf-8">', 'name="viewport"', 'name="color-scheme"', 'rel="icon"', "<title>"):
        assert head.count(once) == 1, once
    assert head.count('name="theme-color"') == 2
    assert page.encode().index(b"<meta charset") < 1024  # browsers look no further for it
    assert re.findall("<!--.*?-->", page) == []
