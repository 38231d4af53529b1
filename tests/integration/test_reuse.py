"""A job tells what was ordered, and whoever may have it made again has its image."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse

from tests.acts import SIGNED, USERS, act, made
from tests.client import Client, running
from tests.databases import Sql

PNG = b"\x89PNG\r\n\x1a\n" + b"pixels"
JPEG = b"\xff\xd8\xff\xe0" + b"pixels"


def base64_of(image: bytes) -> str:
    return base64.b64encode(image).decode()


@pytest.fixture
async def site(database_url: str) -> AsyncIterator[Client]:
    """A server that users sign in to, and that senders know the secret of."""
    async with running(database_url, **SIGNED) as server:
        yield server


async def image_of(server: Client, job_id: str, who: str = "author") -> tuple[ClientResponse, bytes]:
    path = f"{server.url}/api/videos/{job_id}/image"
    async with server.session.get(path, headers=USERS.get(who, {})) as answer:
        return answer, await answer.read()


async def code_of(server: Client, job_id: str, who: str = "author") -> tuple[int, str]:
    answer, _ = await image_of(server, job_id, who)
    return answer.status, (await answer.json())["code"]


async def ordered(server: Client, job_id: str, who: str = "author") -> dict[str, Any]:
    _, job = await server.read(f"/api/videos/{job_id}", headers=USERS[who])
    names = ("aspect_ratio", "number_of_videos", "duration_seconds", "person_generation", "input_image")
    return {name: job[name] for name in names}


async def test_job_tells_all_that_was_ordered_and_whether_there_is_an_image(site: Client) -> None:
    order: dict[str, Any] = {
        "aspect_ratio": "9:16", "number_of_videos": 2, "duration_seconds": 5, "person_generation": "DONT_ALLOW",
    }  # fmt: skip
    await made(site, "j1", "failed", **order, input_image_base64=base64_of(PNG))
    await made(site, "j2", "failed")
    await made(site, "j3", "failed", input_image_base64="")
    for who in ("author", "member", "admin"):
        assert await ordered(site, "j1", who) == order | {"input_image": True}
    assert (await ordered(site, "j2"))["person_generation"] == "ALLOW_ALL"
    assert [(await ordered(site, job))["input_image"] for job in ("j2", "j3")] == [False, False]


async def test_what_another_program_wrote_is_told_as_far_as_it_says_anything(site: Client, sql: Sql) -> None:
    await made(site, "j1")
    sql("ALTER TABLE video_generations MODIFY personGeneration VARCHAR(191) NULL, MODIFY numberOfVideos INT NULL")
    sql("UPDATE video_generations SET personGeneration = NULL, numberOfVideos = NULL WHERE id = 'j1'")
    told = await ordered(site, "j1")
    assert (told["person_generation"], told["number_of_videos"]) == ("", 0)


@pytest.mark.parametrize(
    ("image", "kind", "name"),
    [
        (PNG, "image/png", "image.png"),
        (JPEG, "image/jpeg", "image.jpg"),
        (
            b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>",
            "application/octet-stream",
            "image",
        ),
        (b"<!doctype html><script>alert(1)</script>", "application/octet-stream", "image"),
    ],
)
async def test_image_comes_as_it_was_sent_under_its_own_type_and_no_browser_shows_it_as_a_page(
    site: Client, image: bytes, kind: str, name: str
) -> None:
    await made(site, "j1", "failed", input_image_base64=base64_of(image))
    answer, body = await image_of(site, "j1")
    assert (answer.status, body) == (200, image)
    told = {key: answer.headers[key] for key in (
        "Content-Type", "Content-Disposition", "X-Content-Type-Options", "Cache-Control", "Content-Security-Policy",
    )}  # fmt: skip
    assert told == {
        "Content-Type": kind,
        "Content-Disposition": f'attachment; filename="{name}"',
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-store",
        "Content-Security-Policy": "default-src 'none'; sandbox",
    }


async def test_image_of_a_data_address_is_the_image_in_it(site: Client) -> None:
    await made(site, "j1", "failed", input_image_base64=f"data:image/png;base64,{base64_of(PNG)}")
    answer, body = await image_of(site, "j1")
    assert (answer.status, body, answer.content_type) == (200, PNG, "image/png")


async def test_author_and_admins_have_the_image_members_may_only_look_and_strangers_find_nothing(site: Client) -> None:
    await made(site, "j1", "failed", input_image_base64=base64_of(PNG))
    for who, refused in {
        "nobody": (401, "unauthorized"), "stranger": (404, "not_found"), "member": (403, "not_yours"),
    }.items():  # fmt: skip
        assert await code_of(site, "j1", who) == refused
    for who in ("author", "admin"):
        answer, body = await image_of(site, "j1", who)
        assert (answer.status, body) == (200, PNG)


async def test_image_that_there_is_not_or_that_is_none_is_told_as_such(site: Client, sql: Sql) -> None:
    await made(site, "without", "failed")
    await made(site, "empty", "failed", input_image_base64="")
    await made(site, "letters", "failed", input_image_base64="no base64 at all")
    await made(site, "gone", "failed", input_image_base64=base64_of(PNG))
    for job in ("without", "empty", "letters"):
        assert await code_of(site, job) == (404, "no_image")
    assert (await act(site, "gone", "", USERS["author"]))[0] == 200
    assert await code_of(site, "gone") == (404, "not_found")
    assert await code_of(site, "no-such-job") == (404, "not_found")


async def test_image_that_another_program_stored_larger_than_an_order_may_be_is_not_read(
    database_url: str, sql: Sql
) -> None:
    async with running(database_url, max_image_body_bytes=2_000_000, **SIGNED) as server:
        await made(server, "j1", "failed")
        sql("UPDATE video_generations SET inputImageBase64 = REPEAT('A', 2000001) WHERE id = 'j1'")
        assert await code_of(server, "j1") == (404, "no_image")


async def test_images_that_are_not_taken_count_as_what_a_user_leaves_unread(database_url: str, sql: Sql) -> None:
    async with running(database_url, max_answer_bytes_per_user=9_000_000, list_max_bytes=1_000_000, **SIGNED) as server:
        await made(server, "j1", "failed", input_image_base64=base64_of(PNG))
        sql("UPDATE video_generations SET inputImageBase64 = REPEAT('iVBORw0KGgo', 600000) WHERE id = 'j1'")
        path = f"{server.url}/api/videos/j1/image"
        async with server.session.get(path, headers=USERS["author"]) as held:
            assert held.status == 200
            assert await code_of(server, "j1") == (429, "too_much_unread")
            async with server.session.get(path, headers=USERS["admin"]) as other:
                assert other.status == 200
