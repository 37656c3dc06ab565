"""`GET /api/search` over a real socket: what is found and why, and who is shown what."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import aiohttp
import asyncpg
import numpy as np
import pytest
from aiohttp.test_utils import TestServer, unused_port

from gateway.models import LazyModels
from gateway.people.pace import USUAL, ApiPace
from indexer.demo.api import Api
from indexer.demo.immich import StandIn
from indexer.photos import facts, results
from indexer.photos.lines import StoredLine, dump_lines
from tests.conftest import immich_2_and_3
from tests.support import stubs
from tests.support.description import Description
from tests.support.gateways import Answer, Client, StubText, serving, stub_models, text_vector
from tests.support.installs import install, make_role
from tests.support.workers import settings_for

PICTURE = stubs.picture(1, form="JPEG")
BOX = [0.1, 0.1, 0.9, 0.1, 0.9, 0.2, 0.1, 0.2]
Photo = Callable[..., Awaitable[UUID]]


@dataclass
class Gateway:
    """The gateway's API as one person's programs ask it."""

    client: Client
    key: str

    async def ask(self, q: str, key: str | None = None, **parameters: object) -> Answer:
        path = "/api/search?" + urlencode({"q": q} | parameters)
        answer = await self.client.get(path, {"x-api-key": self.key if key is None else key})
        async with aiohttp.ClientSession(f"http://127.0.0.1:{self.client.port}") as session:
            description = await Description.of_gateway(session)
        description.check("GET", "/api/search", answer.status, answer.headers, answer.json)
        return answer

    async def found(self, q: str, key: str | None = None, **parameters: object) -> list[dict[str, Any]]:
        answer = await self.ask(q, key, **parameters)
        assert answer.status == 200, answer.json
        return answer.json["items"]

    async def ids(self, q: str, key: str | None = None, **parameters: object) -> list[UUID]:
        return [UUID(item["assetId"]) for item in await self.found(q, key, **parameters)]


@pytest.fixture
def photo(own: asyncpg.Connection, immich: StandIn, owner: UUID) -> Photo:
    """Makes a photo that was indexed: these lines one below the other, a vector at that cosine to a text's."""

    async def photo(
        *lines: str, like: str = "", cosine: float = 0.5, owner: UUID = owner, model: str = "stub clip", **asset: Any
    ) -> UUID:
        made = await immich.upload(PICTURE, owner=owner, **asset)
        stored = [
            StoredLine(line, tuple(c + 0.2 * n * (i % 2) for i, c in enumerate(BOX)), 0.9, 0.95)
            for n, line in enumerate(lines)
        ]
        noise = text_vector(str(made))
        towards = text_vector(like) if like else text_vector(str(made) + "again")
        noise -= (noise @ towards) * towards
        vector = cosine * towards + (1 - cosine**2) ** 0.5 * noise / np.linalg.norm(noise)
        await own.execute(
            "INSERT INTO immich_indexer.photo (asset_id, preview_updated_at, digest, clip_model, clip, lines)"
            " VALUES ($1, now(), '', $2, $3::text::halfvec, $4)",
            made,
            model,
            json.dumps(vector.tolist()),
            dump_lines(stored),
        )
        async with own.transaction():
            await results.apply(own, [made])
        return made

    return photo


@contextlib.asynccontextmanager
async def asked(
    database: str,
    immich: StandIn,
    key: str,
    models: LazyModels | None = None,
    pace: ApiPace = USUAL,
    **overrides: Any,
) -> AsyncIterator[Gateway]:
    async with TestServer(Api(immich.database).application()) as api:
        settings = settings_for(database, immich.media.directory, **{"immich_url": str(api.make_url("/"))} | overrides)
        async with serving(settings, models, pace=pace) as client:
            yield Gateway(client, key)


@pytest.fixture
async def gateway(database: str, own, immich: StandIn, owner: UUID) -> AsyncIterator[Gateway]:
    async with asked(database, immich, await immich.create_key(owner, "asset.read", "user.read")) as gateway:
        yield gateway


async def test_words_meaning_and_both(gateway: Gateway, photo: Photo):
    taken = datetime(2024, 5, 1, 18, 30, tzinfo=UTC)
    text = await photo("增值税专用发", "票 NO123", "合计 88.00", file_name="words.jpg", taken_at=taken)
    meaning = await photo(like="发票", cosine=0.6, file_name="meaning.jpg")
    both = await photo("发票", like="发票", cosine=0.5, file_name="both.jpg")
    other = await photo("别的")
    answer = await gateway.ask("发票")
    assert answer.headers["content-type"] == "application/json; charset=utf-8"
    assert answer.json.keys() == {"mode", "items", "next", "textMatches", "withoutMeaning", "notes"}
    assert (answer.json["mode"], answer.json["next"], answer.json["textMatches"]) == ("hybrid", None, 2)
    items = answer.json["items"]
    assert [item["assetId"] for item in items] == [str(both), str(text), str(meaning), str(other)]
    assert [item["score"] for item in items] == sorted((item["score"] for item in items), reverse=True)
    assert items[0]["why"] == {
        "kind": "both",
        "text": "发票",
        "boxes": [BOX],
        "fields": [],
        "forgiven": False,
        "pinyin": False,
    }
    assert (items[1]["fileName"], items[1]["takenAt"]) == ("words.jpg", taken.isoformat())
    assert items[1]["why"]["kind"] == "text"
    assert items[1]["why"]["text"] == "增值税专用发\n票 NO123", "a match may reach over lines"
    assert items[1]["why"]["boxes"] == [BOX, pytest.approx([c + 0.2 * (i % 2) for i, c in enumerate(BOX)])]
    assert items[2]["why"] == {
        "kind": "meaning",
        "text": "",
        "boxes": [],
        "fields": [],
        "forgiven": False,
        "pinyin": False,
    }

    for q, parameters in (("发票", {"mode": "ocr"}), ("ocr:发票", {}), ("OCR：发票", {"mode": "hybrid"})):
        answer = await gateway.ask(q, **parameters)
        assert answer.json["mode"] == "ocr"
        assert {item["assetId"] for item in answer.json["items"]} == {str(both), str(text)}
    by_meaning = await gateway.found("发票", mode="clip")
    assert [item["assetId"] for item in by_meaning][:2] == [str(meaning), str(both)]
    assert {item["why"]["kind"] for item in by_meaning} == {"meaning"}


async def test_what_immich_knows_of_a_photo_is_searched_too(
    gateway: Gateway, photo: Photo, own: asyncpg.Connection, immich: StandIn, owner: UUID
):
    """With the reason; and a field that says nothing is an error with a sentence."""
    invoice = await photo("增值税专用发票")
    await immich.describe(invoice, "上海出差")
    await immich.name_person(owner, await immich.recognise(invoice), "张三")
    async with own.transaction():
        await facts.refresh(own, [invoice])
    for q in ("张三 上海 发票", "人物：张三 发票", "person:张三 OR person:李四", "描述:上海 -餐饮"):
        answer = await gateway.ask(q)
        assert answer.json["items"][0]["assetId"] == str(invoice), q
        assert answer.json["items"][0]["why"]["fields"], q
    assert (await gateway.ask("ocr:上海")).json["items"] == []
    answer = await gateway.ask("张三 发票")
    why = answer.json["items"][0]["why"]
    assert (why["text"], why["fields"]) == (
        "增值税专用发票",
        [{"field": "person", "value": "张三", "word": "张三"}],
    )
    for q, words in (
        ("person:", "says nothing to look for"),
        ("date:soon", "is no date like"),
        ("type:song", "image or video"),
    ):
        answer = await gateway.ask(q)
        assert answer.status == 400
        assert words in answer.json["message"]


async def test_the_script_that_was_typed_comes_first(gateway: Gateway, photo: Photo):
    """Also before photos in the other one that are nearer by meaning, shorter and newer."""
    simplified = [await photo("增值税专用发票", *(f"第{n}行别的" for n in range(4))) for _ in range(3)]
    traditional = [await photo("發票", like=like, cosine=0.9) for like in ("发票", "發票", "发票")]
    only_meaning = await photo("别的", like="发票", cosine=0.95)
    for typed, mode in (("发票", "hybrid"), ("发票", "ocr"), ("發票", "hybrid"), ("發票", "ocr")):
        items = await gateway.found(typed, mode=mode)
        order = [UUID(item["assetId"]) for item in items]
        first, then = (simplified, traditional) if typed == "发票" else (traditional, simplified)
        assert (set(order[:3]), set(order[3:6])) == (set(first), set(then)), (typed, mode)
        assert order[6:] == ([only_meaning] if mode == "hybrid" else [])
        assert [item["score"] for item in items] == sorted((item["score"] for item in items), reverse=True)
        pages = [await gateway.ids(typed, mode=mode, limit=2, offset=start) for start in range(0, 8, 2)]
        assert [asset for page in pages for asset in page] == order


async def test_without_a_match_the_order_is_that_of_the_vectors(gateway: Gateway, photo: Photo):
    order = [await photo("文字", like="日落", cosine=cosine) for cosine in (0.9, 0.7, 0.5, 0.3, 0.1)]
    assert await gateway.ids("日落") == await gateway.ids("日落", mode="clip") == order


async def test_a_misread_character_is_forgiven_and_said(gateway: Gateway, photo: Photo):
    read = await photo("增值悦专用发票")
    await photo("别的")
    [item] = await gateway.found("ocr:增值税专用发票")
    assert (item["assetId"], item["why"]["forgiven"], item["why"]["text"]) == (str(read), True, "增值悦专用发票")


async def test_words_to_leave_out(gateway: Gateway, photo: Photo):
    kept = await photo("发票 办公")
    await photo("发票 餐饮", like="发票 -餐饮")
    assert await gateway.ids("发票 -餐饮") == [kept]


async def test_pages(gateway: Gateway, photo: Photo):
    photos = [await photo("发票", like="发票", cosine=0.9 - 0.1 * n) for n in range(5)]
    pages, offset = [], 0
    while offset is not None:
        answer = await gateway.ask("发票", limit=2, offset=offset)
        pages += [UUID(item["assetId"]) for item in answer.json["items"]]
        offset = answer.json["next"]
    assert pages == photos
    assert await gateway.ids("发票", offset=990, limit=10) == []


async def test_dates(gateway: Gateway, photo: Photo):
    days = [
        await photo("发票", taken_at=datetime(2024, 5, day, 12, tzinfo=UTC), like="发票", cosine=0.9 - day / 10)
        for day in (1, 2, 3)
    ]
    for mode in ("hybrid", "ocr", "clip"):
        find = lambda mode=mode, **dates: gateway.ids("发票", mode=mode, **dates)  # noqa: E731
        assert set(await find(after="2024-05-02")) == set(days[1:])
        assert set(await find(before="2024-05-02")) == set(days[:1])
        assert await find(after="2024-05-02T20:00:00+08:00", before="2024-05-02T12:00:00Z") == days[1:2]
        assert await find(after="2024-05-02T12:00:01") == days[2:]
        assert await find(after="9998-01-01") == []


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"q": ""}, "q:"),
        ({"q": "  "}, "q:"),
        ({"q": "票" * 201}, "q: at most 200"),
        ({"q": "-餐饮"}, "q:"),
        ({"mode": "ocrr"}, "mode: one of hybrid, ocr, clip"),
        ({"limit": "0"}, "limit: a number from 1 to 100"),
        ({"limit": "101"}, "limit"),
        ({"limit": "٣"}, "limit"),
        ({"limit": ""}, "limit"),
        ({"offset": "-1"}, "offset"),
        ({"offset": "999", "limit": "2"}, "offset: at most 1000"),
        ({"offset": "9" * 30}, "offset"),
        ({"after": "yesterday"}, "after: a date or time like 2024-05-01"),
        ({"after": "0001-01-01T00:00:00+14:00"}, "after"),
        ({"before": ""}, "before"),
        ({"after": "2024-05-02", "before": "2024-05-01"}, "after: later than before"),
        ({"apiKey": "x"}, "no parameter 'apiKey'"),
    ],
)
async def test_wrong_parameters(gateway: Gateway, parameters, named):
    answer = await gateway.ask(parameters.pop("q", "发票"), **parameters)
    assert (answer.status, answer.json["error"]) == (400, "bad_parameter")
    assert named in answer.json["message"]


async def test_a_parameter_twice_none_at_all_and_other_methods(gateway: Gateway):
    key = {"x-api-key": gateway.key}
    assert (await gateway.client.get("/api/search?q=a&limit=1&limit=2", key)).status == 400
    assert (await gateway.client.get("/api/search", key)).status == 400
    post = f"POST /api/search?q=a HTTP/1.1\r\nhost: gateway\r\nx-api-key: {gateway.key}\r\n\r\n"
    assert (await gateway.client.send(post.encode())).status == 405


@pytest.mark.parametrize(
    "q", ["\0", "'; DROP TABLE asset; --", "!&|<->():*", "🐈", "%", "\\", "ocr:", "a" * 200, '"', "\ud7ff"]
)
async def test_whatever_is_typed(gateway: Gateway, photo: Photo, q):
    await photo("票")
    for mode in ("hybrid", "ocr", "clip"):
        assert (await gateway.ask(q, mode=mode)).status in (200, 400)
    assert await gateway.ids("票", mode="ocr")


async def test_text_of_a_photo_is_text_and_nothing_else(gateway: Gateway, photo: Photo):
    evil = '<script>alert("x")</script> </title>'
    await photo(evil, file_name="<img src=x>.jpg")
    answer = await gateway.ask("script", mode="ocr")
    [item] = answer.json["items"]
    assert (item["why"]["text"], item["fileName"]) == (evil, "<img src=x>.jpg")
    assert answer.headers["content-type"].startswith("application/json")
    for name, value in {
        "x-content-type-options": "nosniff",
        "cache-control": "no-store",
        "cross-origin-resource-policy": "same-origin",
    }.items():
        assert answer.headers[name] == value
    assert not [name for name in answer.headers if name.startswith("access-control")]


# Who is shown what


async def test_nobody_sees_anything(gateway: Gateway, photo: Photo):
    await photo("秘密")
    for headers in ({}, {"x-api-key": "wrong"}, {"Cookie": "immich_access_token=wrong"}):
        answer = await gateway.client.get("/api/search?q=%E7%A7%98", headers)
        assert (answer.status, answer.json["error"]) == (401, "unauthorized")
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_another_ones_key_sees_nothing_of_it(gateway: Gateway, photo: Photo, immich: StandIn):
    await photo("秘密的文字", like="秘密")
    boss = await immich.create_user("boss", admin=True)
    own = await photo("公开", owner=boss)
    for key in (await immich.create_key(boss), await immich.create_key(await immich.create_user("eve"))):
        for mode in ("hybrid", "ocr", "clip"):
            answer = await gateway.ask("秘密", key, mode=mode)
            assert answer.status == 200
            assert {item["assetId"] for item in answer.json["items"]} <= {str(own)}
            assert answer.json["textMatches"] == 0
            assert "秘密".encode() not in answer.body


async def test_a_session_will_do(gateway: Gateway, photo: Photo, immich: StandIn, owner: UUID):
    secret = await photo("秘密")
    token = await immich.log_in(owner)
    answer = await gateway.client.get("/api/search?q=%E7%A7%98&mode=ocr", {"Cookie": f"immich_access_token={token}"})
    assert [item["assetId"] for item in answer.json["items"]] == [str(secret)]


async def test_a_key_without_the_permission(gateway: Gateway, photo: Photo, immich: StandIn, owner: UUID):
    await photo("秘密")
    for permissions, missing in ((["user.read"], "asset.read"), (["asset.read"], "user.read")):
        answer = await gateway.ask("秘密", await immich.create_key(owner, *permissions))
        assert (answer.status, answer.json["error"]) == (403, "forbidden")
        assert missing in answer.json["message"]


@immich_2_and_3
async def test_partners(gateway: Gateway, photo: Photo, immich: StandIn, owner: UUID, immich_version: str):
    bob = await immich.create_user("bob")
    own = await photo("发票", visibility="archive")
    shared = await photo("发票", owner=bob)
    archived = await photo("发票", owner=bob, visibility="archive")
    await photo("发票", owner=bob, visibility="locked")
    expected = {own} if immich_version != "2.7" else set()

    async def seen(mode: str) -> set[UUID]:
        return set(await gateway.ids("发票", mode=mode))

    for mode in ("hybrid", "ocr", "clip"):
        assert await seen(mode) == expected
        await immich.share(bob, owner, in_timeline=False)
        assert await seen(mode) == expected
        await immich.stop_sharing(bob, owner)
        await immich.share(bob, owner)
        assert await seen(mode) == expected | {shared}, "and none of a partner's archive, which Immich would not open"
        await immich.stop_sharing(bob, owner)
    await immich.share(owner, bob)
    assert await seen("ocr") == expected, "sharing is not mutual"
    assert archived not in await seen("clip")
    await immich.share(bob, owner)
    await immich.delete_user(bob)
    assert await seen("hybrid") == expected


async def test_what_is_not_shown(gateway: Gateway, photo: Photo, immich: StandIn):
    shown = await photo("发票", like="发票")
    gone = [await photo("发票", like="发票") for _ in range(5)]
    await immich.lock(gone[0])
    await immich.hide(gone[1])
    await immich.trash(gone[2])
    await immich.go_offline(gone[3])
    await immich.delete_for_good(gone[4])
    for mode in ("hybrid", "ocr", "clip"):
        assert await gateway.ids("发票", mode=mode) == [shown]


async def test_lines_that_an_edit_hides_are_neither_found_nor_shown(gateway: Gateway, photo: Photo, immich, own):
    hidden = await photo("上面", "下面", like="别的", file_name="cropped.jpg")
    assert await gateway.ids("ocr:下面") == [hidden]
    # No indexer is running: what it stored before the edit is still there.
    await immich.edit(hidden, crop=(0, 0, 8, 2))
    assert await gateway.ids("ocr:下面") == []
    answer = await gateway.ask("下面")
    assert answer.json["items"][0]["why"] == {
        "kind": "meaning",
        "text": "",
        "boxes": [],
        "fields": [],
        "forgiven": False,
        "pinyin": False,
    }
    assert "下面".encode() not in answer.body
    assert await gateway.ids("ocr:上面") == [hidden]
    async with own.transaction():
        await results.apply(own, [hidden])
    answer = await gateway.ask("下面")
    assert answer.json["textMatches"] == 0


async def test_a_revoked_key(database, own, immich: StandIn, owner: UUID, photo: Photo):
    await photo("秘密")
    key = await immich.create_key(owner)
    async with asked(database, immich, key, pace=ApiPace(known=0)) as gateway:
        assert await gateway.ids("ocr:秘密")
        await immich.revoke_key(key)
        assert (await gateway.ask("ocr:秘密")).status == 401


async def test_the_token_guards_immichs_routes_and_not_those_that_ask_who_comes(database, own, immich, owner):
    key = await immich.create_key(owner)
    async with asked(database, immich, key, gateway_token="correct-horse") as gateway:
        assert (await gateway.ask("票")).status == 200
        assert (await gateway.ask("票", "wrong")).status == 401
        assert (await gateway.client.get("/correct-horse/ping")).status == 200
        assert (await gateway.client.get("/ping")).status == 404
        assert (await gateway.client.get("/correct-horse/api/search?q=a", {"x-api-key": key})).status == 404


async def test_with_the_least_privileged_role(superuser_url, own, immich: StandIn, owner: UUID, photo: Photo):
    invoice = await photo("发票")
    await immich.edit(invoice, crop=(0, 0, 8, 4))
    async with asked(await make_role(superuser_url), immich, await immich.create_key(owner)) as gateway:
        for mode in ("hybrid", "ocr", "clip"):
            assert await gateway.ids("发票", mode=mode) == [invoice]


# When something is away


async def test_immich_is_away_or_not_named(database, own, immich: StandIn, owner: UUID):
    key = await immich.create_key(owner)
    for url, reason in (("", "IMMICH_URL is not set"), (f"http://127.0.0.1:{unused_port()}", "cannot reach Immich")):
        async with asked(database, immich, key, immich_url=url) as gateway:
            answer = await gateway.ask("票")
            assert (answer.status, answer.json["error"]) == (503, "unavailable")
            assert reason in answer.json["message"]
            assert answer.headers["retry-after"]


async def test_nothing_is_installed_or_the_column_is_too_narrow(database, immich: StandIn, owner: UUID):
    key = await immich.create_key(owner)
    async with asked(database, immich, key) as gateway:
        answer = await gateway.ask("票")
        assert (answer.status, answer.json["error"]) == (503, "unavailable")
        assert "doctor" in answer.json["message"]
    await install(database)
    async with asked(database, immich, key, stub_models(StubText(dimensions=768))[0]) as gateway:
        answer = await gateway.ask("票", mode="clip")
        assert (answer.status, answer.json["error"]) == (503, "unavailable")
        assert "ViT-L-14__openai" in answer.json["message"]
        by_words = await gateway.ask("票")
        assert (by_words.status, by_words.json["withoutMeaning"]) == (200, True)
        assert "ViT-L-14__openai" in by_words.json["notes"][0]
        assert (await gateway.ask("ocr:票")).status == 200


async def test_without_clip_words_are_found(database, own, immich: StandIn, owner: UUID, photo: Photo):
    invoice = await photo("发票")
    loaded = stub_models()[0]
    async with asked(
        database, immich, await immich.create_key(owner), LazyModels(None, loaded.ocr_model, loaded.load_pictures)
    ) as gateway:
        answer = await gateway.ask("发票")
        assert [item["assetId"] for item in answer.json["items"]] == [str(invoice)]
        assert "TASKS leaves it out: found by words alone" in answer.json["notes"][0]
        assert answer.json["withoutMeaning"] is True
        assert (await gateway.ask("ocr:发票")).json["withoutMeaning"] is False
        assert (await gateway.ask("发票", mode="clip")).status == 501


async def test_a_wider_column_and_one_that_is_being_changed(gateway: Gateway, photo: Photo, immich: StandIn, own):
    photos = [await photo(like="日落", cosine=cosine) for cosine in (0.9, 0.5)]
    await immich.change_clip_model(1536)
    async with own.transaction():
        await results.apply(own, photos)
    assert await gateway.ids("日落", mode="clip") == photos
    async with immich.clip_model_change(768):
        answers = await asyncio.gather(*(gateway.ask("日落", mode="clip") for _ in range(3)))
        assert {answer.status for answer in answers} <= {200, 503}


async def test_filters_and_years(gateway: Gateway, photo: Photo, own, immich: StandIn, owner: UUID):
    one, two = [
        await photo("发票", file_name=f"{year}.jpg", taken_at=datetime(year, 5, 1, tzinfo=UTC)) for year in (2023, 2024)
    ]
    await immich.name_person(owner, await immich.recognise(one), "张 三")
    async with own.transaction():
        await facts.refresh(own, [one, two])
    client, headers = gateway.client, {"x-api-key": gateway.key}

    async def found(query: str) -> list[str]:
        answer = await client.get(f"/api/search?{query}", headers)
        assert answer.status == 200, answer.json
        return sorted(item["fileName"] for item in answer.json["items"])

    person = urlencode({"filter": "person:张 三"})
    assert await found("q=%E5%8F%91%E7%A5%A8&filter=date:2024") == ["2024.jpg"]
    assert await found(person) == ["2023.jpg"]
    assert await found(f"{person}&filter=date:2024") == []
    assert await found(f"q=ocr:%E5%8F%91%E7%A5%A8&{person}") == ["2023.jpg"]
    years = await client.get("/api/search/years?q=%E5%8F%91%E7%A5%A8", headers)
    assert years.json == {"years": [{"year": 2024, "photos": 1}, {"year": 2023, "photos": 1}]}
    for query, said in (
        ("", "q: say what to look for, as in ?q=发票"),
        ("filter=nobody:x", "filter: 'nobody:x' is no field and its value, as in person:张三"),
        ("filter=date:soon", "filter: date: 'soon' is no date like"),
        ("filter=-type:video", "q: only words to leave out"),
        ("&".join(["filter=date:2024"] * 21), "filter: at most 20"),
        ("q=a&q=b", "q is given more than once"),
    ):
        for path in ("/api/search", "/api/search/years"):
            refused = await client.get(f"{path}?{query}", headers)
            assert refused.status == 400
            assert refused.json["message"].startswith(said)
