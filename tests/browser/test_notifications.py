"""Notifications: one for each end, whoever tells of it and however often; several in one; by Web Push, too.

The service worker is pushed to by DevTools, since a browser's own push service is out of reach here.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import BrowserContext, Page, Worker, expect

from tests.browser import engines
from tests.browser.engines import Chromium
from tests.browser.job_pages import followed
from tests.browser.pages import completion, job, open_page, post_webhook, register
from tests.client import Client, running
from tests.databases import Sql
from tests.push import SETTINGS, Browser, push_service
from tests.sign_in import SECRET, token
from tests.waiting import until

pytestmark = pytest.mark.asyncio(loop_scope="session")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def notifying() -> AsyncIterator[Chromium]:
    async with engines.chromium(notifying=True) as started:
        yield started


@pytest_asyncio.fixture(loop_scope="session")
async def context(notifying: Chromium) -> AsyncIterator[BrowserContext]:
    async with notifying.context() as opened:
        yield opened


ACTIVE = """
() => new Promise((done) => {
  const look = async () => {
    const found = await navigator.serviceWorker.getRegistration("/static/");
    if (found?.active?.state === "activated") done(null);
    else setTimeout(look, 10);
  };
  look();
})
"""


async def opened(context: BrowserContext, server: Client) -> Page:
    """The page, with its worker at work, of a user who wants to be notified."""
    await context.grant_permissions(["notifications"], origin=server.url)
    page = await context.new_page()
    await open_page(page, server)
    await page.evaluate(ACTIVE)
    return page


async def worker_of(context: BrowserContext) -> Worker:
    return context.service_workers[0] if context.service_workers else await context.wait_for_event("serviceworker")


async def shown(context: BrowserContext) -> list[list[str]]:
    """Heading and text of each notification. Not while one is being shown: who asks Chromium then makes it forget that
    one."""
    found: list[list[str]] = await (await worker_of(context)).evaluate(
        "inTurn(() => registration.getNotifications()).then((all) => all.map(({ title, body }) => [title, body]))"
    )
    return found


async def becomes(context: BrowserContext, wanted: list[list[str]]) -> None:
    until_then = asyncio.get_running_loop().time() + 10
    while (found := await shown(context)) != wanted and asyncio.get_running_loop().time() < until_then:
        await asyncio.sleep(0.02)
    assert found == wanted


async def push(page: Page, server: Client, data: str) -> None:
    """What a push service would hand to the browser."""
    session = await page.context.new_cdp_session(page)
    found: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    def look(event: dict[str, Any]) -> None:
        for registration in event["registrations"]:
            if registration["scopeURL"] == f"{server.url}/static/" and not found.done():
                found.set_result(registration["registrationId"])

    session.on("ServiceWorker.workerRegistrationUpdated", look)
    await session.send("ServiceWorker.enable")
    registration = await asyncio.wait_for(found, 10)
    await session.send(
        "ServiceWorker.deliverPushMessage", {"origin": server.url, "registrationId": registration, "data": data}
    )


def news(*ends: tuple[str, int], event: str = "completed", more: int = 0) -> str:
    """A message as the server makes it."""
    notices = [
        {"job_id": job_id, "number": number, "event": event, "title": f"{event}!", "body": f"of {job_id}"}
        for job_id, number in ends
    ]
    return json.dumps({"notices": notices, "more": more, "several": "{count} have ended"})


async def handled(context: BrowserContext) -> None:
    """Whatever came to the worker until now was dealt with."""
    await (await worker_of(context)).evaluate("turn")


async def number_of(server: Client, job_id: str) -> int:
    _, found = await server.read(f"/api/videos/{job_id}")
    return int(found["events"][-1]["id"].partition("-")[0])


async def test_end_is_notified_once_however_many_tabs_and_messages_tell_of_it(
    context: BrowserContext, server: Client
) -> None:
    one, other = await opened(context, server), await opened(context, server)
    for job_id in ("job-1", "job-2"):
        await register(one, server, job_id, f"Prompt of {job_id}")
    await post_webhook(one, server, "job-1", "completed", has_data=True, data=completion("job-1"))
    await becomes(context, [["Vidéo prête", "Prompt of job-1"]])
    await post_webhook(one, server, "job-2", "failed", error="Quota exceeded")
    for tab in (one, other):
        await expect(job(tab, "job-2")).to_have_attribute("state", "FAILED")
    both = [["Vidéo prête", "Prompt of job-1"], ["Échec de la génération", "Prompt of job-2"]]
    await becomes(context, both)
    number = await number_of(server, "job-1")
    await push(one, server, news(("job-1", number)))
    await handled(context)
    assert sorted(await shown(context)) == sorted(both)
    worker = await worker_of(context)
    await worker.evaluate("registration.getNotifications().then((all) => all.forEach((one) => one.close()))")
    await push(one, server, news(("job-1", number), ("job-2", number + 1)))
    await handled(context)
    assert await shown(context) == []


async def test_end_is_notified_by_the_page_of_the_job_alone_and_once_beside_the_gallery(
    context: BrowserContext, server: Client
) -> None:
    gallery = await opened(context, server)
    for job_id in ("job-1", "job-2", "job-3"):
        await register(gallery, server, job_id, f"Prompt of {job_id}")
    page = await context.new_page()
    await followed(page, server, "job-1")
    await post_webhook(page, server, "job-1", "completed", has_data=True, data=completion("job-1"))
    await becomes(context, [["Vidéo prête", "Prompt of job-1"]])
    await gallery.goto("about:blank")
    await followed(page, server, "job-2")
    await post_webhook(page, server, "job-2", "completed", has_data=True, data=completion("job-2"))
    both = [["Vidéo prête", "Prompt of job-1"], ["Vidéo prête", "Prompt of job-2"]]
    await becomes(context, both)
    await followed(page, server, "job-3")
    for _ in range(2):
        await page.locator("[data-action=cancel]").click(delay=600)
    await expect(page.locator("rushes-job-page")).to_have_attribute("state", "FAILED")
    await handled(context)
    assert await shown(context) == both, "whoever cancels knows"


async def test_job_that_fails_and_is_ready_after_all_is_told_anew_in_one_place(
    context: BrowserContext, server: Client
) -> None:
    page = await opened(context, server)
    await push(page, server, news(("j", 7), event="failed"))
    await becomes(context, [["failed!", "of j"]])
    await push(page, server, news(("j", 9)))
    await becomes(context, [["completed!", "of j"]])
    await push(page, server, news(("j", 7), event="failed"))  # an old one that was late
    await handled(context)
    assert await shown(context) == [["completed!", "of j"]]


# Written down once they are shown.
REMEMBERED = """
() => new Promise((done, fail) => {
  const opening = indexedDB.open("rushes");
  opening.onerror = () => fail(opening.error);
  opening.onsuccess = () => {
    const asked = opening.result.transaction("notifications").objectStore("notifications").get("told");
    asked.onsuccess = () => { opening.result.close(); done(asked.result.map(([id]) => id)); };
  };
})
"""


async def test_message_is_shown_while_no_page_is_open_and_after_the_worker_was_ended(
    context: BrowserContext, server: Client
) -> None:
    page = await opened(context, server)
    await worker_of(context)
    await page.goto("about:blank")
    await push(page, server, news(("j", 1)))
    await becomes(context, [["completed!", "of j"]])
    session = await context.new_cdp_session(page)
    await session.send("ServiceWorker.enable")
    await session.send("ServiceWorker.stopAllWorkers")
    await push(page, server, news(("k", 2), ("j", 1)))
    await page.goto(f"{server.url}/static/favicon.svg")
    async with asyncio.timeout(10):
        while await page.evaluate(REMEMBERED) != ["j", "k"]:
            await asyncio.sleep(0.02)
    read = """navigator.serviceWorker.getRegistration("/static/").then((found) => found.getNotifications())
      .then((all) => all.map(({ body }) => body).sort())"""
    assert await page.evaluate(read) == ["of j", "of k"]


async def test_many_ends_are_one_notification_that_counts_them(context: BrowserContext, server: Client) -> None:
    page = await opened(context, server)
    for count in range(1, 6):
        await register(page, server, f"job-{count}", f"Prompt {count}")
        await post_webhook(page, server, f"job-{count}", "completed", has_data=True, data=completion(f"job-{count}"))
        await expect(job(page, f"job-{count}")).to_have_attribute("state", "COMPLETED")
        if count <= 2:
            await becomes(context, [["Vidéo prête", f"Prompt {number}"] for number in range(1, count + 1)])
    await becomes(context, [["5 générations terminées", "Prompt 5\nPrompt 4\nPrompt 3"]])
    await push(page, server, news(("job-3", await number_of(server, "job-3"))))
    await handled(context)
    assert await shown(context) == [["5 générations terminées", "Prompt 5\nPrompt 4\nPrompt 3"]]
    await push(page, server, news(("x", 900), ("y", 899), more=20))
    await becomes(context, [["27 have ended", "of x\nof y\nPrompt 5"]])
    await push(page, server, news(("z", 901)))
    await becomes(context, [["28 have ended", "of z\nof x\nof y"]])


@pytest.mark.parametrize("data", ["", "no JSON", "[]", "{}", '{"notices": 5}', "null"])
async def test_message_that_is_none_of_ours_shows_nothing_and_breaks_nothing(
    context: BrowserContext, server: Client, data: str
) -> None:
    page = await opened(context, server)
    await push(page, server, data)
    await push(page, server, news(("j", 1)))
    await becomes(context, [["completed!", "of j"]])


async def test_clicked_notification_shows_the_job_on_the_open_page(context: BrowserContext, server: Client) -> None:
    page = await opened(context, server)
    await page.set_viewport_size({"width": 390, "height": 500})
    for count in range(8):
        await register(page, server, f"job-{count}")
    await expect(job(page, "job-7")).to_be_visible()
    first = job(page, "job-0")
    await page.evaluate("scrollTo(0, 0)")
    await expect(first).not_to_be_in_viewport()
    # A click by DevTools there is not; without one, the browser lets no window come to the front.
    await (await worker_of(context)).evaluate("open(['job-0']).catch(() => {})")
    await expect(first).to_be_in_viewport()


async def test_clicked_notification_of_a_job_that_the_open_page_does_not_list_leads_to_its_own(
    context: BrowserContext, server: Client
) -> None:
    page = await opened(context, server)
    await (await worker_of(context)).evaluate("open(['job-long-ago']).catch(() => {})")
    await expect(page).to_have_url(f"{server.url}/jobs/job-long-ago")


async def test_bell_that_is_turned_off_is_off_in_every_tab(context: BrowserContext, server: Client) -> None:
    one, other = await opened(context, server), await opened(context, server)
    bells = [tab.locator("rushes-bell button") for tab in (one, other)]
    await expect(bells[1]).to_have_attribute("aria-pressed", "true")
    await bells[0].click()
    for bell in bells:
        await expect(bell).to_have_attribute("aria-pressed", "false")


async def test_notification_of_one_job_leads_to_its_page_and_that_of_many_to_the_gallery(
    context: BrowserContext, server: Client
) -> None:
    await opened(context, server)
    lead = "[['a/b?é'], ['a', 'b'], []].map((jobs) => addressOf(jobs).href)"
    assert await (await worker_of(context)).evaluate(lead) == [
        f"{server.url}/jobs/a%2Fb%3F%C3%A9",
        f"{server.url}/",
        f"{server.url}/",
    ]


async def test_worker_takes_no_request_of_a_page_and_keeps_no_answer(context: BrowserContext, server: Client) -> None:
    said: list[str] = []
    await context.grant_permissions(["notifications"], origin=server.url)
    page = await context.new_page()
    page.on("console", lambda message: said.append(message.text))
    await open_page(page, server)
    await worker_of(context)
    await page.reload()
    await expect(page.locator("rushes-connection")).to_have_attribute("state", "live")
    assert await page.evaluate("navigator.serviceWorker.controller") is None
    assert await page.evaluate("caches.keys()") == []
    assert said == []


# Chromium's own subscribes at Google. The page cannot tell this one from it.
SUBSCRIBES = """
{
  let made = null;
  PushManager.prototype.getSubscription = async () => made;
  const bytes = (text) => Uint8Array.from(atob(text.replace(/-/g, "+").replace(/_/g, "/")), (one) => one.charCodeAt(0));
  PushManager.prototype.subscribe = async ({ userVisibleOnly, applicationServerKey: given }) => {
    const applicationServerKey = typeof given === "string" ? bytes(given) : given;
    if (!userVisibleOnly || applicationServerKey.length !== 65) throw new DOMException("refused", "NotAllowedError");
    const its = SUBSCRIPTION;
    made = { endpoint: its.endpoint, options: { applicationServerKey: applicationServerKey.buffer }, toJSON: () => its,
      unsubscribe: async () => { made = null; window.ended = true; return true; } };
    return made;
  };
}
"""


async def test_browser_whose_page_is_closed_is_told_by_the_server_until_the_bell_is_turned_off(
    context: BrowserContext, database_url: str, sql: Sql
) -> None:
    async with running(database_url, **SETTINGS) as server, push_service() as service:
        browser = Browser(service)
        await context.add_init_script(SUBSCRIBES.replace("SUBSCRIPTION", json.dumps(browser.subscription)))
        page = await opened(context, server)
        await until(lambda: sql("SELECT id, author_id, language FROM rushes_push") == ((browser.id, "dev", "fr"),))
        await register(page, server, "job-1", "A fox")
        await page.goto("about:blank")
        await post_webhook(page, server, "job-1", "completed", has_data=True, data=completion("job-1"))
        message = await browser.next()
        await push(page, server, message.raw.decode())
        await becomes(context, [["Vidéo prête", "A fox"]])
        await open_page(page, server)
        bell = page.locator("rushes-bell button")
        await expect(bell).to_have_attribute("aria-pressed", "true")
        await until(lambda: sql("SELECT COUNT(*) FROM rushes_push") == ((1,),))
        await bell.click()
        await expect(bell).to_have_attribute("aria-pressed", "false")
        await until(lambda: sql("SELECT COUNT(*) FROM rushes_push") == ((0,),))
        await bell.click()
        await expect(page.locator(".toast")).to_contain_text("même cette page fermée")
        assert sql("SELECT COUNT(*) FROM rushes_push") == ((1,),)


async def test_whoever_sits_there_after_the_sign_out_is_shown_nothing(
    context: BrowserContext, database_url: str, sql: Sql
) -> None:
    async with running(database_url, auth_jwt_secret=SECRET, **SETTINGS) as server, push_service() as service:
        browser = Browser(service)
        await context.add_init_script(SUBSCRIBES.replace("SUBSCRIPTION", json.dumps(browser.subscription)))
        await context.add_cookies([{"name": "__session", "value": token("ada", 600), "url": server.url}])
        page = await opened(context, server)
        await until(lambda: sql("SELECT author_id FROM rushes_push") == (("ada",),))
        await push(page, server, news(("j", 1)))
        await becomes(context, [["completed!", "of j"]])
        await context.clear_cookies()
        await page.reload()
        await expect(page.locator("rushes-app")).to_have_attribute("view", "signed-out")
        await becomes(context, [])
        await context.add_cookies([{"name": "__session", "value": token("bob", 600), "url": server.url}])
        await page.locator(".signed-out [data-action=reload]").click()
        await until(lambda: sql("SELECT author_id FROM rushes_push") == (("bob",),))


CHANGES = """
() => new Promise((done, fail) => {
  const changed = new Event("pushsubscriptionchange"); // which browsers alone may make, so its waiting is ours
  changed.waitUntil = (work) => work.then(done, fail);
  self.dispatchEvent(changed);
})
"""


async def test_browser_that_gets_another_address_says_so_while_no_page_is_open(
    context: BrowserContext, database_url: str, sql: Sql
) -> None:
    async with running(database_url, auth_jwt_secret=SECRET, **SETTINGS) as server, push_service() as service:
        old, new = Browser(service), Browser(service)
        await context.add_init_script(SUBSCRIBES.replace("SUBSCRIPTION", json.dumps(old.subscription)))
        await context.add_cookies([{"name": "__session", "value": token("ada", 600), "url": server.url}])
        await context.add_cookies([{"name": "rushes_language", "value": "en", "url": server.url}])
        page = await opened(context, server)
        await until(lambda: sql("SELECT id FROM rushes_push") == ((old.id,),))
        worker = await worker_of(context)
        await page.goto("about:blank")
        takes_over = SUBSCRIBES.replace("SUBSCRIPTION", json.dumps(new.subscription))
        await worker.evaluate(f"self.window = self; {takes_over}; null")
        await worker.evaluate(CHANGES)
        found = sql("SELECT author_id, language FROM rushes_push WHERE id = %s", new.id)
        assert found == (("ada", "en"),)
        await context.clear_cookies()
        sql("DELETE FROM rushes_push")
        await worker.evaluate(CHANGES)
        assert sql("SELECT COUNT(*) FROM rushes_push") == ((0,),)
        assert await worker.evaluate("self.ended"), "whoever is signed out has none"
