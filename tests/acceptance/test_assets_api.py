"""`/api/me` and `/api/assets/...` over a real socket: one photo, its picture, reading it again; and what is refused."""

import asyncio
import contextlib
import io
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import aiohttp
import asyncpg
import numpy as np
import pytest
from aiohttp import web
from aiohttp.test_utils import unused_port
from PIL import Image

from gateway.people.pace import ApiPace
from indexer.demo.immich import StandIn
from indexer.models.clip import names
from indexer.queue import completions as completions
from indexer.work.worker import Models
from tests.conftest import immich_2_and_3
from tests.support import stubs
from tests.support.gateways import StubText, stub_models
from tests.support.installs import install
from tests.support.people import House, Person, Reply, house
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import eventually, idle, settings_for, working

PICTURE = stubs.picture(1, form="JPEG")
SCRIPT = "<script>alert(1)</script>"

At = Callable[..., contextlib.AbstractAsyncContextManager[House]]


class Reader(StubOcr):
    """Reads whatever `lines` are at the moment."""

    def __init__(self, *lines: str) -> None:
        super().__init__(say=lambda _: list(self.lines))
        self.lines = lines


@pytest.fixture
def work(database: str, immich: StandIn) -> Callable[..., contextlib.AbstractAsyncContextManager[Any]]:
    """An indexer at work, which reads some lines in every photo."""

    def work(ocr: StubOcr | None = None, clip: StubClip | None = None, **overrides: Any) -> Any:
        settings = settings_for(database, immich.media.directory, **overrides)
        return working(settings, Models(clip or StubClip(), ocr or Reader("增值税专用发票", "合计 88.00"), "cpu"))

    return work


async def indexed(own: asyncpg.Connection, asset: UUID) -> bool:
    return bool(await own.fetchval("SELECT count(digest) FROM immich_indexer.photo WHERE asset_id = $1", asset))


# Who one is


async def test_me(home: House, ann: Person, immich: StandIn, owner: UUID):
    reply = await ann.get("/api/me")
    assert reply.status == 200
    assert reply.json.keys() == {
        *("id", "name", "email", "isAdmin", "permissions", "may", "immichUrl", "demoModel", "version")
    }
    assert reply.json["demoModel"] is None
    assert (reply.json["id"], reply.json["name"], reply.json["email"]) == (str(owner), "ann", "ann@example.org")
    assert (reply.json["isAdmin"], reply.json["permissions"]) == (False, ["all"])
    assert reply.json["may"] == {"search": True, "thumbnails": True, "faces": True, "reprocess": True}

    limited = await (await home.person(owner, "user.read", "asset.view")).get("/api/me")
    assert limited.json["permissions"] == ["asset.view", "user.read"]
    assert limited.json["may"] == {"search": False, "thumbnails": True, "faces": False, "reprocess": False}
    assert (await (await home.person(owner, "asset.read")).get("/api/me")).status == 403

    session = Person(home.session, {"Authorization": f"Bearer {await immich.log_in(owner)}"})
    assert (await session.get("/api/me")).json["permissions"] is None
    assert (await session.get("/api/me")).json["may"]["reprocess"]
    assert (await home.nobody().get("/api/me")).status == 401
    assert (await ann.get("/api/me", apiKey="x")).status == 400


async def test_a_demo_model_is_told(database, own, immich: StandIn, owner: UUID):
    name = names.name_of("cn-clip", "demo-drawn-shapes", "0123456789abcdef", demo=True)
    models, _ = stub_models(text=StubText(name))
    async with house(database, immich, models) as home:
        assert (await (await home.person(owner)).get("/api/me")).json["demoModel"] == name


async def test_links_lead_to_the_address_that_people_use(database, own, immich: StandIn, owner: UUID):
    async with house(database, immich, immich_public_url="https://photos.example/") as home:
        ann = await home.person(owner)
        asset = await immich.upload(PICTURE, owner=owner)
        assert (await ann.get("/api/me")).json["immichUrl"] == "https://photos.example"
        assert (await ann.get(f"/api/assets/{asset}")).json["immich"] == f"https://photos.example/photos/{asset}"


# One photo


async def test_a_photo(ann: Person, immich: StandIn, owner: UUID, own, work):
    asset = await immich.upload(PICTURE, owner=owner, file_name="receipt.jpg")
    before = (await ann.get(f"/api/assets/{asset}")).json
    assert (before["state"], before["lines"], before["indexedAt"], before["current"]) == ("waiting", [], None, False)
    async with work():
        await idle(own)
    reply = await ann.get(f"/api/assets/{asset}", q="专用")
    assert reply.status == 200
    assert reply.json == {
        "assetId": str(asset),
        "fileName": "receipt.jpg",
        "takenAt": reply.json["takenAt"],
        "own": True,
        "type": "IMAGE",
        "edited": False,
        "lines": [
            {"text": "增值税专用发票", "box": [0.1, 0.1, 0.9, 0.1, 0.9, 0.15, 0.1, 0.15], "score": 0.95},
            {"text": "合计 88.00", "box": [0.1, 0.2, 0.9, 0.2, 0.9, 0.25, 0.1, 0.25], "score": 0.95},
        ],
        "ocrModel": "stub ocr",
        "clipModel": "stub clip",
        "indexedAt": reply.json["indexedAt"],
        "current": True,
        "state": "indexed",
        "failure": None,
        "immich": reply.json["immich"],
        "matched": [0],
    }
    assert reply.json["takenAt"].endswith("+00:00")
    asked = {
        "发票合计": [0, 1],
        "ocr:88": [1],
        "没有": [],
        "增值悦专用发票": [0],
        " ": None,
        "fapiao he ji": [0, 1],
        "hong": [],
    }
    for q, matched in asked.items():
        assert (await ann.get(f"/api/assets/{asset}", q=q)).json.get("matched") == matched, q


async def test_made_with_another_model_or_from_another_preview(ann, immich: StandIn, owner: UUID, own, work):
    old, new = [await immich.upload(stubs.picture(n, form="JPEG"), owner=owner) for n in (1, 2)]
    async with work():
        await idle(own)
    await own.execute(
        "UPDATE immich_indexer.photo SET clip_model = 'older', indexed_at = '2020-01-01' WHERE asset_id = $1", old
    )
    assert not (await ann.get(f"/api/assets/{old}")).json["current"]
    assert (await ann.get(f"/api/assets/{new}")).json["current"]
    await immich.change_preview_format(new, "webp")
    assert not (await ann.get(f"/api/assets/{new}")).json["current"]


async def test_a_photo_without_a_preview_is_missing(ann: Person, immich: StandIn, owner: UUID):
    asset = await immich.receive(owner=owner)
    assert (await ann.get(f"/api/assets/{asset}")).json["state"] == "missing"
    reply = await ann.post(f"/api/assets/{asset}/reprocess")
    assert (reply.status, reply.json["error"]) == (409, "conflict")
    assert "preview" in reply.json["message"]


async def test_text_is_text(ann: Person, immich: StandIn, owner: UUID, own, work):
    asset = await immich.upload(PICTURE, owner=owner, file_name=f"{SCRIPT}.jpg")
    async with work(Reader(SCRIPT)):
        await idle(own)
    reply = await ann.get(f"/api/assets/{asset}", q="alert")
    assert ([line["text"] for line in reply.json["lines"]], reply.json["fileName"]) == ([SCRIPT], f"{SCRIPT}.jpg")
    assert reply.headers["content-type"].startswith("application/json")
    assert (reply.headers["x-content-type-options"], reply.headers["cache-control"]) == ("nosniff", "no-store")


@pytest.mark.parametrize(
    ("path", "parameters"),
    [
        ("/api/assets/1", {}),
        ("/api/assets/{id}x", {}),
        ("/api/assets/urn:uuid:{id}", {}),
        ("/api/assets/%00", {}),
        ("/api/assets/{id}", {"q": "票" * 201}),
        ("/api/assets/{id}", {"q": "-票"}),
        ("/api/assets/{id}", {"p": "1"}),
        ("/api/assets/{id}/thumbnail", {"size": "fullsize"}),
        ("/api/assets/{id}/thumbnail", {"size": "original"}),
        ("/api/assets/{id}/thumbnail", {"edited": "false"}),
        ("/api/assets/1/thumbnail", {}),
    ],
)
async def test_wrong_addresses(ann: Person, immich: StandIn, owner: UUID, path: str, parameters: dict[str, str]):
    asset = await immich.upload(PICTURE, owner=owner)
    reply = await ann.get(path.format(id=asset), **parameters)
    assert (reply.status, reply.json["error"]) == (400, "bad_parameter")


async def test_what_is_not_shown_is_as_if_it_were_not(
    home: House, ann: Person, immich: StandIn, owner: UUID, own, work
):
    bob = await immich.create_user("bob")
    photos = {name: await immich.upload(PICTURE, owner=owner) for name in ("locked", "hidden", "trashed", "gone")}
    photos |= {"bob's": await immich.upload(PICTURE, owner=bob), "nobody's": uuid4()}
    async with work():
        await idle(own)
    await immich.lock(photos["locked"])
    await immich.hide(photos["hidden"])
    await immich.trash(photos["trashed"])
    await immich.delete_for_good(photos["gone"])
    await immich.share(bob, owner, in_timeline=False)
    for name, asset in photos.items():
        for reply in await every_way(ann, asset):
            assert (reply.status, reply.json) == (404, {"error": "not_found", "message": "there is no such photo"}), (
                name
            )
    assert await own.fetchval("SELECT count(*) FROM immich_indexer.inbox WHERE priority = 0") == 0


async def every_way(person: Person, asset: UUID) -> list[Reply]:
    return [
        await person.get(f"/api/assets/{asset}"),
        await person.get(f"/api/assets/{asset}/thumbnail"),
        await person.get(f"/api/assets/{asset}/thumbnail", size="preview"),
        await person.post(f"/api/assets/{asset}/reprocess", {"wait": 5}),
        await person.post(f"/api/assets/{asset}/reprocess"),
        await person.post(f"/api/assets/{asset}/retry"),
    ]


@immich_2_and_3
async def test_partners_photos_are_seen_and_not_touched(
    ann: Person, immich: StandIn, owner: UUID, own, work, immich_version
):
    bob = await immich.create_user("bob")
    shared, archived, mine = [await immich.upload(PICTURE, owner=user) for user in (bob, bob, owner)]
    async with work():
        await idle(own)
    await immich.archive(archived)
    await immich.archive(mine)
    await immich.share(bob, owner)
    seen = await ann.get(f"/api/assets/{shared}")
    assert (seen.status, seen.json["own"], len(seen.json["lines"])) == (200, False, 2)
    assert (await ann.get(f"/api/assets/{shared}/thumbnail")).body == PICTURE
    for path in ("reprocess", "retry"):
        assert (await ann.post(f"/api/assets/{shared}/{path}")).status == 404
    assert {reply.status for reply in await every_way(ann, archived)} == {404}
    assert (await ann.get(f"/api/assets/{mine}")).json["own"]
    await immich.stop_sharing(bob, owner)
    assert {reply.status for reply in await every_way(ann, shared)} == {404}


# Edited photos

WIDTH, HEIGHT = 400, 200
RED, BLUE, GREEN = (255, 0, 0), (0, 0, 255), (0, 160, 0)


def barred() -> bytes:
    """Bars of three colours where Reader says that its first three lines are."""
    pixels = np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8)
    for place, colour in enumerate((RED, BLUE, GREEN)):
        pixels[20 + 20 * place : 30 + 20 * place, 40:360] = colour
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def bar(picture: bytes, colour: tuple[int, int, int]) -> list[float]:
    """Left, top, right and bottom of what has that colour, as fractions."""
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    ys, xs = np.nonzero((abs(pixels - colour) < 90).all(axis=2))
    height, width = pixels.shape[:2]
    return [xs.min() / width, ys.min() / height, (xs.max() + 1) / width, (ys.max() + 1) / height]


def bounds(line: dict[str, Any]) -> list[float]:
    xs, ys = line["box"][0::2], line["box"][1::2]
    assert (xs[0], ys[0]) == (min(xs), min(ys)), "clockwise from the top left"
    assert (xs[2], ys[2]) == (max(xs), max(ys))
    return [min(xs), min(ys), max(xs), max(ys)]


@immich_2_and_3
async def test_picture_and_boxes_agree(ann: Person, immich: StandIn, owner: UUID, own, work, immich_version):
    asset = await immich.upload(barred(), owner=owner)
    async with work(Reader("红", "蓝", "绿")):
        await idle(own)

    async def agree(*expected: tuple[str, tuple[int, int, int]]) -> None:
        photo = (await ann.get(f"/api/assets/{asset}")).json
        picture = await ann.get(f"/api/assets/{asset}/thumbnail", size="preview")
        assert picture.headers["content-type"] == "image/webp"
        assert [line["text"] for line in photo["lines"]] == [text for text, _ in expected]
        for line, (_, colour) in zip(photo["lines"], expected, strict=True):
            assert bounds(line) == pytest.approx(bar(picture.body, colour), abs=0.02)

    await agree(("红", RED), ("蓝", BLUE), ("绿", GREEN))
    # No indexer is running: the lines stored are those from before the edit.
    await immich.edit(asset, crop=(0, 0, 300, 52), rotate=90, mirror="horizontal")
    await agree(("红", RED), ("蓝", BLUE))
    photo = await ann.get(f"/api/assets/{asset}")
    assert photo.json["edited"]
    assert "绿".encode() not in photo.body
    await immich.edit(asset, rotate=270)
    await agree(("红", RED), ("蓝", BLUE), ("绿", GREEN))
    await immich.remove_edits(asset)
    await agree(("红", RED), ("蓝", BLUE), ("绿", GREEN))


async def test_an_edit_of_which_there_is_no_picture_yet(
    ann: Person, immich: StandIn, owner: UUID, own, connection, work
):
    asset = await immich.upload(barred(), owner=owner)
    async with work(Reader("红", "蓝", "绿")):
        await idle(own)
    await connection.execute(
        'INSERT INTO asset_edit ("assetId", sequence, action, parameters) VALUES ($1, 0, $2, $3)',
        asset,
        "crop",
        '{"x": 0, "y": 0, "width": 400, "height": 35}',
    )
    photo = (await ann.get(f"/api/assets/{asset}")).json
    assert [line["text"] for line in photo["lines"]] == ["红"]
    picture = await ann.get(f"/api/assets/{asset}/thumbnail", size="preview")
    assert bounds(photo["lines"][0]) == pytest.approx(bar(picture.body, RED), abs=0.02)


# Pictures


async def test_a_thumbnail(home: House, ann: Person, immich: StandIn, owner: UUID):
    asset = await immich.upload(PICTURE, owner=owner)
    for size, cache in (("thumbnail", "private, max-age=60"), ("preview", "private, no-cache")):
        reply = await ann.get(f"/api/assets/{asset}/thumbnail", size=size)
        assert (reply.status, reply.body) == (200, PICTURE)
        assert reply.headers["content-type"] == "image/jpeg"
        assert reply.headers["content-length"] == str(len(PICTURE))
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert reply.headers["cache-control"] == cache
        assert "x-api-key" in reply.headers["vary"], "a picture kept by a browser is not for whoever comes next"
        assert not [name for name in reply.headers if name.startswith("access-control")]
    tag = {"If-None-Match": reply.headers["etag"]}
    again = await ann.get(f"/api/assets/{asset}/thumbnail", headers=tag, size="preview")
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag["If-None-Match"])
    await immich.regenerate_thumbnails(asset, stubs.picture(2, form="JPEG"))
    assert (await ann.get(f"/api/assets/{asset}/thumbnail", headers=tag, size="preview")).status == 200
    assert (await ann.ask("HEAD", f"/api/assets/{asset}/thumbnail")).status == 405

    only = await home.person(owner, "user.read", "asset.view")
    assert (await only.get(f"/api/assets/{asset}/thumbnail")).status == 200
    refused = await (await home.person(owner, "user.read", "asset.read")).get(f"/api/assets/{asset}/thumbnail")
    assert (refused.status, refused.json["error"]) == (403, "forbidden")
    assert "asset.view" in refused.json["message"]


async def test_a_picture_that_immich_has_not_or_a_key_that_it_knows_no_more(home, immich: StandIn, owner: UUID):
    asset = await immich.upload(PICTURE, owner=owner)
    key = await immich.create_key(owner)
    ann = home.with_key(key)
    assert (await ann.get(f"/api/assets/{asset}/thumbnail")).status == 200
    for path in immich.media.directory.rglob("*.jpeg"):
        path.unlink()
    assert (await ann.get(f"/api/assets/{asset}/thumbnail")).status == 404
    await immich.revoke_key(key)  # we remember who it was for some seconds, Immich does not
    reply = await ann.get(f"/api/assets/{asset}/thumbnail")
    assert (reply.status, reply.json["error"]) == (401, "unauthorized")


Answering = Callable[[web.Request], Awaitable[web.StreamResponse]]


def instead(answer: Answering) -> Callable[[web.Application], None]:
    """An Immich that answers so when it is asked for a picture."""

    @web.middleware
    async def pictures(request: web.Request, handler: Answering) -> web.StreamResponse:
        return await (answer if request.path.endswith("/thumbnail") else handler)(request)

    return lambda app: app.middlewares.append(pictures)


async def no_picture(_: web.Request) -> web.Response:
    return web.Response(text=f"<svg>{SCRIPT}</svg>", content_type="image/svg+xml")


async def moved(_: web.Request) -> web.Response:
    raise web.HTTPFound("https://elsewhere.example/")


async def too_much(_: web.Request) -> web.Response:
    return web.Response(body=bytes(2 << 20), content_type="image/jpeg")


async def failing(_: web.Request) -> web.Response:
    raise web.HTTPBadGateway


async def busy(_: web.Request) -> web.Response:
    raise web.HTTPTooManyRequests


async def refusing(_: web.Request) -> web.Response:
    return web.json_response({"message": "Missing required permission: asset.view"}, status=403)


@pytest.mark.parametrize(
    ("answer", "status", "error"),
    [
        (no_picture, 502, "upstream"),
        (moved, 502, "upstream"),
        (too_much, 502, "upstream"),
        (failing, 503, "unavailable"),
        (busy, 503, "unavailable"),
        (refusing, 403, "forbidden"),
    ],
)
async def test_what_immich_may_answer_instead_of_a_picture(database, own, immich, owner, answer, status, error):
    asset = await immich.upload(PICTURE, owner=owner)
    async with house(database, immich, change=instead(answer), max_preview_megabytes=1) as home:
        reply = await (await home.person(owner)).get(f"/api/assets/{asset}/thumbnail")
    assert (reply.status, reply.json["error"]) == (status, error)
    assert b"script" not in reply.body


@pytest.mark.parametrize("announced", [True, False])
async def test_half_a_picture_is_not_taken_for_a_whole_one(database, own, immich, owner, announced):
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
        if announced:
            response.content_length = 100_000
        await response.prepare(request)
        await response.write(bytes(50_000))
        assert request.transport is not None
        request.transport.abort()
        return response

    async def endless(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "image/jpeg"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            while True:
                await response.write(bytes(100_000))
        return response

    asset = await immich.upload(PICTURE, owner=owner)
    for answer in (half,) if announced else (half, endless):
        async with house(database, immich, change=instead(answer), max_preview_megabytes=1) as home:
            ann = await home.person(owner)
            with pytest.raises(aiohttp.ClientError):
                await ann.get(f"/api/assets/{asset}/thumbnail")
            assert (await ann.get("/api/me")).status == 200


async def test_many_at_once_and_clients_that_go(home: House, ann: Person, immich: StandIn, owner: UUID):
    asset = await immich.upload(PICTURE, owner=owner)
    replies = await asyncio.gather(*(ann.get(f"/api/assets/{asset}/thumbnail") for _ in range(40)))
    assert {reply.status for reply in replies} == {200}
    gone = [asyncio.create_task(ann.get(f"/api/assets/{asset}/thumbnail")) for _ in range(40)]
    await asyncio.sleep(0)
    for task in gone:
        task.cancel()
    await asyncio.gather(*gone, return_exceptions=True)
    metrics = (await home.nobody().get("/metrics")).body.decode()
    assert 'immich_gateway_requests_total{route="/api/assets/{id}/thumbnail",status="200"}' in metrics
    assert (await ann.get(f"/api/assets/{asset}/thumbnail")).status == 200


# Again


@pytest.mark.parametrize("pace", [ApiPace(poll=3600)], ids=["told by the queue alone"])
async def test_text_and_vector_are_read_again_and_waited_for(ann: Person, immich: StandIn, owner: UUID, own, work):
    asset = await immich.upload(PICTURE, owner=owner)
    ocr = Reader("旧的文字")
    async with work(ocr):
        await eventually(lambda: indexed(own, asset))
        ocr.lines = ("新的文字", "再一行")
        reply = await ann.post(f"/api/assets/{asset}/reprocess", {"tasks": ["ocr"], "wait": 60})
        assert reply.status == 200
        assert reply.json["state"] == "indexed"
        assert [line["text"] for line in reply.json["before"]["lines"]] == ["旧的文字"]
        assert [line["text"] for line in reply.json["after"]["lines"]] == ["新的文字", "再一行"]
        assert reply.json["before"]["indexedAt"] < reply.json["after"]["indexedAt"]
        assert reply.json["after"].keys() == {"lines", "ocrModel", "clipModel", "indexedAt"}
        assert reply.json["vector"] == {"changed": False, "cosine": 1.0}
        assert reply.json["failure"] is None
        calls = ocr.calls
        reply = await ann.post(f"/api/assets/{asset}/reprocess", {"tasks": ["clip"], "wait": 60.5})
        assert (reply.json["state"], ocr.calls) == ("indexed", calls)
        assert reply.json["before"]["lines"] == reply.json["after"]["lines"]
        reply = await ann.post(f"/api/assets/{asset}/reprocess", {"wait": 60})
        assert (reply.json["state"], ocr.calls) == ("indexed", calls + 1)
        await own.execute(
            "UPDATE immich_indexer.photo SET clip_model = 'older', clip = (SELECT array_agg(-x ORDER BY n)"
            " FROM unnest(clip::real[]) WITH ORDINALITY AS v (x, n))::halfvec"
        )
        reply = await ann.post(f"/api/assets/{asset}/reprocess", {"tasks": ["clip"], "wait": 60})
    assert reply.json["vector"] == {"changed": True, "cosine": -1.0}
    assert (reply.json["before"]["clipModel"], reply.json["after"]["clipModel"]) == ("older", "stub clip")


async def test_a_photo_nobody_has_read_yet(ann: Person, immich: StandIn, owner: UUID, own, work):
    asset = await immich.upload(PICTURE, owner=owner)
    waiting = asyncio.create_task(ann.post(f"/api/assets/{asset}/reprocess", {"wait": 60}))
    await eventually(lambda: own.fetchval("SELECT count(*) FROM immich_indexer.inbox WHERE priority = 0"))
    async with work():
        reply = await waiting
    assert (reply.json["state"], reply.json["before"]["lines"]) == ("indexed", [])
    assert (reply.json["before"]["indexedAt"], reply.json["before"]["ocrModel"]) == (None, None)
    assert len(reply.json["after"]["lines"]) == 2
    assert reply.json["vector"] == {"changed": True, "cosine": None}


async def test_not_waiting_and_waiting_in_vain(ann: Person, immich: StandIn, owner: UUID, own, work):
    asset = await immich.upload(PICTURE, owner=owner)
    for content in (None, {}, {"wait": 0}, {"tasks": ["ocr", "ocr"]}):
        reply = await ann.post(f"/api/assets/{asset}/reprocess", content)
        assert (reply.status, reply.json) == (202, {"state": "waiting"})
    reply = await ann.post(f"/api/assets/{asset}/reprocess", {"wait": 0.05})
    assert (reply.status, reply.json["state"], reply.json["after"]) == (200, "waiting", None)
    assert reply.json["vector"] == {"changed": False, "cosine": None}
    assert (await ann.get(f"/api/assets/{asset}")).json["state"] == "waiting"
    async with work():
        await idle(own)
    assert (await ann.get(f"/api/assets/{asset}")).json["state"] == "indexed"


@pytest.mark.parametrize("pace", [ApiPace(poll=0.05)], ids=["looks often"])
async def test_where_no_notification_arrives_it_looks(
    ann: Person, immich: StandIn, owner: UUID, own, work, monkeypatch
):
    monkeypatch.setattr(completions, "CHANNEL", "another_channel")
    asset = await immich.upload(PICTURE, owner=owner)
    async with work():
        reply = await ann.post(f"/api/assets/{asset}/reprocess", {"wait": 60})
    assert reply.json["state"] == "indexed"


@pytest.mark.parametrize("pace", [ApiPace(poll=3600)], ids=["told by the queue alone"])
async def test_whoever_waits_holds_nothing_that_others_need(ann: Person, immich: StandIn, owner: UUID, own, work):
    assets = [await immich.upload(stubs.picture(n, form="JPEG"), owner=owner) for n in range(20)]
    waiting = [asyncio.create_task(ann.post(f"/api/assets/{asset}/reprocess", {"wait": 100})) for asset in assets]
    await eventually(lambda: own.fetchval("SELECT count(*) = 20 FROM immich_indexer.inbox WHERE priority = 0"))
    listening = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query ILIKE 'listen %done%'"
    )
    assert await own.fetchval(listening) == 1, "one connection for all of them"
    assert (await ann.get(f"/api/assets/{assets[0]}")).status == 200
    async with work():
        replies = await asyncio.gather(*waiting)
    assert {reply.json["state"] for reply in replies} == {"indexed"}
    await eventually(lambda: own.fetchval(f"SELECT ({listening}) = 0"))


async def test_the_queue_tells_of_what_persons_asked_for_and_of_nothing_else(
    immich: StandIn, owner: UUID, own, ann, work
):
    heard: list[str] = []
    await own.add_listener(completions.CHANNEL, lambda *call: heard.append(call[-1]))
    asset = await immich.upload(PICTURE, owner=owner)
    bad = await immich.upload(b"no picture", owner=owner)
    async with work(max_attempts=1):
        await idle(own)
        assert heard == []
        for photo in (asset, bad):
            await ann.post(f"/api/assets/{photo}/reprocess", {"wait": 60})
        await eventually(lambda: asyncio.sleep(0, len(heard) == 2))
    assert heard == [str(asset), str(bad)]


async def test_one_that_fails_says_why_and_is_tried_again(ann: Person, immich: StandIn, owner: UUID, own, work):
    asset = await immich.upload(b"no picture", owner=owner, file_name="broken.jpg")
    async with work(max_attempts=2, retry_seconds=0.05):
        await idle(own)
        photo = (await ann.get(f"/api/assets/{asset}")).json
        assert (photo["state"], photo["lines"]) == ("failed", [])
        assert photo["failure"].keys() == {"error", "failedAt", "attempts", "givenUp"}
        assert (photo["failure"]["attempts"], photo["failure"]["givenUp"]) == (2, True)
        assert "not a readable picture" in photo["failure"]["error"]
        reply = await ann.post(f"/api/assets/{asset}/reprocess", {"wait": 60})
        assert (reply.status, reply.json["state"], reply.json["after"]) == (200, "failed", None)
        assert "not a readable picture" in reply.json["failure"]["error"]
        assert reply.json["failure"]["failedAt"] > photo["failure"]["failedAt"]
        await idle(own)

        path = await own.fetchval("SELECT path FROM asset_file WHERE \"assetId\" = $1 AND type = 'preview'", asset)
        immich.media.write(path, PICTURE)
        assert (await ann.post(f"/api/assets/{asset}/retry")).status == 202
        await idle(own)
        photo = (await ann.get(f"/api/assets/{asset}")).json
        assert (photo["state"], photo["failure"], len(photo["lines"])) == ("indexed", None, 2)
    reply = await ann.post(f"/api/assets/{asset}/retry", {})
    assert (reply.status, reply.json["error"]) == (409, "conflict")


async def test_one_that_waits_for_its_next_attempt_need_not(ann: Person, immich: StandIn, owner: UUID, own, work):
    asset = await immich.upload(b"no picture", owner=owner)
    async with work(retry_seconds=1000):
        await eventually(lambda: own.fetchval("SELECT error FROM immich_indexer.job"))
        photo = (await ann.get(f"/api/assets/{asset}")).json
        assert (photo["state"], photo["failure"]["givenUp"]) == ("failed", False)
        path = await own.fetchval("SELECT path FROM asset_file WHERE \"assetId\" = $1 AND type = 'preview'", asset)
        immich.media.write(path, PICTURE)
        assert (await ann.post(f"/api/assets/{asset}/retry")).status == 202
        await idle(own)
    assert (await ann.get(f"/api/assets/{asset}")).json["state"] == "indexed"


async def test_a_key_that_may_not(home: House, immich: StandIn, owner: UUID, own):
    asset = await immich.upload(PICTURE, owner=owner)
    for permissions, missing in (
        (("user.read", "asset.read"), "asset.update"),
        (("user.read", "asset.update"), "asset.read"),
    ):
        person = await home.person(owner, *permissions)
        for path in ("reprocess", "retry"):
            reply = await person.post(f"/api/assets/{asset}/{path}", {})
            assert (reply.status, reply.json["error"]) == (403, "forbidden")
            assert missing in reply.json["message"]
    refused = await (await home.person(owner, "user.read", "asset.update")).get(f"/api/assets/{asset}")
    assert refused.status == 403
    assert await own.fetchval("SELECT count(*) FROM immich_indexer.inbox WHERE priority = 0") == 0
    enough = await home.person(owner, "user.read", "asset.read", "asset.update")
    assert (await enough.post(f"/api/assets/{asset}/reprocess")).status == 202


async def test_a_page_of_another_site_cannot_ask_with_the_cookie(home: House, immich: StandIn, owner: UUID, own):
    asset = await immich.upload(PICTURE, owner=owner)
    cookie = {"Cookie": f"immich_access_token={await immich.log_in(owner)}"}
    for headers, status in (({"Sec-Fetch-Site": "cross-site"}, 403), ({"Sec-Fetch-Site": "same-origin"}, 202)):
        assert (await Person(home.session, cookie | headers).post(f"/api/assets/{asset}/reprocess")).status == status


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 4000, 400),
        (b"[]", 400),
        (b"null", 400),
        (b'{"wait": NaN}', 400),
        (b'{"wait": 1e999}', 400),
        ({"wait": -1}, 400),
        ({"wait": 120.1}, 400),
        ({"wait": "5"}, 400),
        ({"wait": True}, 400),
        ({"wait": None}, 400),
        ({"tasks": []}, 400),
        ({"tasks": "ocr"}, 400),
        ({"tasks": ["ocr", "faces"]}, 400),
        ({"tasks": [["ocr"]]}, 400),
        ({"tasks": [1]}, 400),
        ({"taks": ["ocr"]}, 400),
        (b" " * 5000, 413),
        (b'{"tasks": ["' + b"x" * 100_000 + b'"]}', 413),
    ],
)
async def test_wrong_bodies(ann: Person, immich: StandIn, owner: UUID, own, content, status):
    asset = await immich.upload(PICTURE, owner=owner)
    reply = await ann.post(f"/api/assets/{asset}/reprocess", content)
    assert (reply.status, reply.json["error"]) == (status, "too_large" if status == 413 else "bad_parameter")
    assert await own.fetchval("SELECT count(*) FROM immich_indexer.inbox WHERE priority = 0") == 0


async def test_other_methods_and_a_body_for_retry(ann: Person, immich: StandIn, owner: UUID):
    asset = await immich.upload(PICTURE, owner=owner)
    assert (await ann.get(f"/api/assets/{asset}/reprocess")).status == 405
    assert (await ann.post(f"/api/assets/{asset}")).status == 405
    assert (await ann.post(f"/api/assets/{asset}/retry", {"wait": 1})).status == 400
    assert (await ann.ask("POST", f"/api/assets/{asset}/reprocess", params={"wait": "5"})).status == 400


# When something is away


async def test_immich_is_away_or_not_named(database, own, immich: StandIn, owner: UUID):
    asset, key = await immich.upload(PICTURE, owner=owner), await immich.create_key(owner)
    for url, reason in (("", "IMMICH_URL is not set"), (f"http://127.0.0.1:{unused_port()}", "cannot reach Immich")):
        async with house(database, immich, immich_url=url) as home:
            for reply in [await home.with_key(key).get("/api/me"), *await every_way(home.with_key(key), asset)]:
                assert (reply.status, reply.json["error"]) == (503, "unavailable")
                assert reason in reply.json["message"]


async def test_nothing_is_installed(database, immich: StandIn, owner: UUID):
    asset = await immich.upload(PICTURE, owner=owner)
    async with house(database, immich) as home:
        ann = await home.person(owner)
        for reply in (
            await ann.get(f"/api/assets/{asset}"),
            await ann.post(f"/api/assets/{asset}/reprocess"),
            await ann.get("/api/status"),
        ):
            assert (reply.status, reply.json["error"]) == (503, "unavailable")
            assert "immich-indexer" in reply.json["message"]
        assert (await ann.get(f"/api/assets/{asset}/thumbnail")).status == 200


async def test_the_database_is_away(own_immich, tmp_path, private_server):
    url, immich = own_immich
    await install(url)
    owner = await immich.create_user("ann")
    asset = await immich.upload(PICTURE, owner=owner)
    async with house(url, immich) as home:
        ann = await home.person(owner)
        assert (await ann.get("/api/me")).status == 200  # Immich has said who she is
        private_server.stop()
        for reply in [*await every_way(ann, asset), await ann.get("/api/status")]:
            assert (reply.status, reply.json["error"]) == (503, "unavailable")
        private_server.start()

        async def again() -> bool:
            return (await ann.get(f"/api/assets/{asset}")).status == 200

        await eventually(again)
