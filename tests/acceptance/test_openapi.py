"""The API's description against the server itself: every answer that it has, and what it takes and refuses."""

import asyncio
import contextlib
import io
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from aiohttp import web
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.models import LazyModels
from gateway.people import api
from indexer.demo.immich import StandIn
from indexer.photos import trials
from indexer.photos.trials import Cost, Figures, Score, Trial
from indexer.work.worker import Models
from tests.support import stubs
from tests.support.description import Description
from tests.support.gateways import stub_models
from tests.support.people import House, Person, house
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import eventually, idle, settings_for, working

PICTURE = stubs.picture(1, form="JPEG")


@dataclass(frozen=True)
class Library:
    """Photos of one person: one was read, one could not be, one has no preview."""

    read: UUID
    bad: UUID
    missing: UUID
    person: UUID


@pytest.fixture
async def owner(immich: StandIn) -> UUID:
    """An administrator: others may not ask everything."""
    return await immich.create_user("ann", admin=True)


@pytest.fixture
async def library(own, database: str, immich: StandIn, owner: UUID) -> AsyncIterator[Library]:
    """With an indexer at work."""
    read, bad = [await immich.upload(picture, owner=owner) for picture in (PICTURE, b"no picture")]
    settings = settings_for(database, immich.media.directory, max_attempts=1)
    async with working(settings, Models(StubClip(), StubOcr(say=lambda _: ["发票"]), "cpu")):
        await idle(own)
        person = await immich.recognise(read)
        await immich.name_person(owner, person, "张三")
        await immich.show_face(owner, person, PICTURE)
        yield Library(read, bad, await immich.receive(owner=owner), person)


@pytest.fixture
async def description(home: House) -> Description:
    return await Description.of_gateway(home.session)


def parameters_of(operation: dict[str, Any], where: str) -> list[dict[str, Any]]:
    return [parameter for parameter in operation["parameters"] if parameter["in"] == where]


async def test_it_is_openapi_and_needs_no_key(home: House):
    for person in (home.nobody(), home.with_key("wrong")):
        reply = await person.get("/api/openapi.json")
        assert (reply.status, reply.json["openapi"]) == (200, "3.1.1")
        assert reply.headers["content-type"].startswith("application/json")
    OpenAPIV31SpecValidator(reply.json).validate()
    assert not [name for name in reply.json["components"]["schemas"] if "__" in name], "two classes of one name"


async def test_permissions_are_those_that_a_key_needs(
    home: House, description: Description, immich: StandIn, owner: UUID
):
    for (method, path), operation in description.operations().items():
        if not operation["security"]:
            continue
        [needed] = [each["apiKey"] for each in operation["security"] if "apiKey" in each]
        for missing in needed:
            person = await home.person(owner, *(each for each in needed if each != missing), "asset.upload")
            reply = await person.ask(method, path.replace("{id}", str(uuid4())))
            assert (path, missing, reply.status) == (path, missing, 403)
            assert missing in reply.json["message"]
        reply = await asking(await home.person(owner, *needed), method, path.replace("{id}", str(uuid4())))
        assert (path, reply) != (path, 403)


async def test_whoever_asks_is_taken_for_who_they_are_by_every_scheme(
    home: House, description: Description, immich: StandIn, owner: UUID
):
    key, session = await immich.create_key(owner), await immich.log_in(owner)
    for name, scheme in description.components["securitySchemes"].items():
        secret = key if name == "apiKey" else session
        match scheme:
            case {"type": "http", "scheme": "bearer"}:
                headers = {"Authorization": f"Bearer {secret}"}
            case {"type": "apiKey", "in": "cookie"}:
                headers = {"Cookie": f"{scheme['name']}={secret}"}
            case {"type": "apiKey", "in": "header"}:
                headers = {scheme["name"]: secret}
        assert (await Person(home.session, headers).get("/api/me")).status == 200, name


# Every answer


async def asking(person: Person, method: str, address: str, **options: Any) -> int:
    """The status of an answer that is as described; of a stream its first event."""
    if address.startswith("/api/status/events"):
        async with person.session.request(method, address, headers=person.headers, **options) as response:
            if response.status == 200:
                lines = (await response.content.readuntil(b"\n\n")).decode().splitlines()
                event, data = lines[0].removeprefix("event: "), json.loads(lines[1].removeprefix("data: "))
                (await Description.of_gateway(person.session)).check_event("/api/status/events", event, data)
                return 200
    return (await person.ask(method, address, **options)).status


@web.middleware
async def no_immich(request: web.Request, handler: Any) -> web.Response:
    return web.Response(text="<html>")


@contextlib.asynccontextmanager
async def silent(house: House, person: Person, method: str, address: str, length: int) -> AsyncIterator[Any]:
    """A request whose body is announced and does not come."""
    host, port = house.address.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    key = person.headers["x-api-key"]
    writer.write(
        f"{method} {address} HTTP/1.1\r\nHost: x\r\nx-api-key: {key}\r\nContent-Length: {length}\r\n\r\n".encode()
    )
    try:
        yield reader
    finally:
        writer.close()


async def test_every_answer_is_as_described_and_every_one_described_is_there(
    home: House, description: Description, immich: StandIn, owner: UUID, own, database, library: Library, monkeypatch
):
    there = {
        (method, path, int(status))
        for method, path in description.operations()
        for status in description.responses(method, path)
    }
    seen: set[tuple[str, str, int]] = set()
    key = await immich.create_key(owner)

    async def ask(house: House, asset: UUID = library.read, person: Person | None = None, **options: Any) -> None:
        """Every operation."""
        for method, path in description.operations():
            await one(house, method, path, asset, person, **options)

    async def one(
        house: House, method: str, path: str, asset: UUID = library.read, person: Person | None = None, **options: Any
    ) -> None:
        body = {"json": {"data": {"asset": {"id": str(asset)}}}} if path == "/api/webhooks/tagged" else {}
        query = {"params": {"q": "发票"}} if "/search" in path else {}
        named = library.person if asset == library.read and path.startswith("/api/people/") else asset
        address = path.replace("{id}", str(named))
        seen.add(
            (method, path, await asking(person or house.with_key(key), method, address, **(body | query | options)))
        )

    await one(home, "POST", "/api/assets/{id}/retry", library.bad)
    await idle(own)
    await ask(home)
    figures = Figures(1, 0, 1, 512, (Score("all", 1, 0, 1, 1, 1),), Cost(0.1, 1 << 20), Cost())
    trial = Trial(datetime.now(UTC), "stub clip", "tried", "tried", figures)
    vector = stubs.expected_vector(1)
    await trials.store(own, trial, {library.read: (vector, vector)})
    await one(home, "GET", "/api/trial")
    await one(home, "GET", "/api/trial/search")
    await ask(home, uuid4())
    await ask(home, person=home.nobody())
    await ask(home, person=await home.person(owner, "asset.upload"))
    await ask(home, params={"no such parameter": "1"})
    await one(home, "POST", "/api/assets/{id}/reprocess", json={"wait": 60})
    await one(home, "POST", "/api/assets/{id}/reprocess", library.bad, json={"wait": 60})
    await one(home, "POST", "/api/assets/{id}/reprocess", library.missing)
    for path, whose in (("/api/assets/{id}/thumbnail", library.read), ("/api/people/{id}/thumbnail", library.person)):
        tag = (await home.with_key(key).get(path.replace("{id}", str(whose)))).headers["etag"]
        knowing = Person(home.session, {"x-api-key": key, "If-None-Match": tag})
        await one(home, "GET", path, person=knowing)
    for method, path in description.operations():
        if method == "POST":
            await one(home, method, path, json=None, data=io.BytesIO(b" " * (2 << 20)))
    async with house(database, immich, immich_url="") as alone:
        await ask(alone)
    async with house(database, immich, change=lambda app: app.middlewares.append(no_immich)) as wrong:
        await ask(wrong)
    loaded = stub_models()[0]
    async with house(database, immich, LazyModels(None, loaded.ocr_model, loaded.load_pictures)) as without_clip:
        await one(without_clip, "GET", "/api/search", params={"q": "a", "mode": "clip"})
    async with house(
        database, immich, gateway_body_seconds=0.2, gateway_megabytes_in_flight=1, max_preview_megabytes=1
    ) as slow:
        person = slow.with_key(key)
        for method, path in description.operations():
            if method == "POST":
                address = path.replace("{id}", str(library.read))
                async with silent(slow, person, method, address, 10) as reader:
                    head, _, body = (await reader.readuntil(b"}")).partition(b"\r\n\r\n")
                status = int(head.split()[1])
                description.check(method, address, status, {"content-type": "application/json"}, json.loads(body))
                seen.add((method, path, status))
    async with (
        house(database, immich, gateway_megabytes_in_flight=1, max_preview_megabytes=1) as full,
        silent(full, full.with_key(key), "POST", "/api/webhooks/tagged", 1 << 20),
    ):

        async def busy() -> bool:
            return await asking(full.nobody(), "GET", "/api/openapi.json", data=bytes(100_000)) == 503

        await eventually(busy)
        await ask(full, json=None, data=bytes(100_000))
    with monkeypatch.context() as patch:
        patch.setattr(api, "parameters_of", lambda *_: 1 / 0)
        await ask(home)
    assert there - seen == set()
    assert seen - there == set()


# What is taken and what is refused

# Refused for what no schema says: only words to be absent, a day that no calendar has, a time before all time, a filter
# that names no field. Taken all the same while one types, as any text may be the beginning of another, and where all of
# it is taken by its meaning.
NEVER = ("2024-02-30", "0001-01-01T00:00:00+14:00")
UNSAID = {("q", "-1"), *((name, value) for name in ("after", "before") for value in NEVER)}
ANY_TEXT = ("/api/suggest", "/api/trial/search")
VALUES = [
    *("", " ", "a", "票" * 200, "票" * 201, *NEVER),
    *("own", "all", "everything", "hybrid", "ocr", "clip", "thumbnail", "preview", "own,all", "null", "true"),
    *("0", "1", "100", "101", "900", "1001", "-1", "+1", "1.0", "٣", "1e1", "0x1"),
    *("2024-05-01", "2024-05-01T18:30", "2024-05-01 18:30:00.5", "2024-05-01T18:30:00Z", "2024-05-01t18:30:00+0800"),
    *("2024-05-01T18:30:00-23:59", "2024-5-1", "20240501", "2024-W18-3", "2024-05-01T24:00", "2024-05-01T18:30:61Z"),
    *("2024-05-01T18", "2024-05-01x18:30", "2024-05-01T18:30:00+24:00", "٢٠٢٤-05-01", "yesterday"),
    *(str(UUID(int=1)), str(UUID(int=10)).upper(), UUID(int=1).hex, f"urn:uuid:{UUID(int=1)}", f"{{{UUID(int=1)}}}"),
]
IMMICHS = {"type": "workflow", "data": {"asset": {"id": str(UUID(int=1)), "tags": []}, "more": None}}
BODIES = [
    *({}, {"tasks": ["ocr"]}, {"tasks": ["clip", "ocr", "ocr"]}, {"tasks": None}, {"tasks": []}, {"tasks": "ocr"}),
    *({"tasks": ["faces"]}, {"tasks": [None]}, {"tasks": {"ocr": True}}, {"tasks": [["ocr"]]}, {"taks": ["ocr"]}),
    *({"wait": 0}, {"wait": 120}, {"wait": 0.5}, {"wait": -0.1}, {"wait": 120.5}, {"wait": "5"}, {"wait": None}),
    *({"wait": True}, {"wait": 10**400}, {"wait": [1]}, {"wait": 1, "tasks": ["ocr"]}, {"wait": 1, "more": 1}),
    *(IMMICHS, {"data": None}, {"data": {}}, {"data": {"asset": None}}, {"data": {"asset": [1]}}),
    *(
        {"data": {"asset": {"id": value}}}
        for value in (1, None, "x", ["x"], UUID(int=1).hex, str(UUID(int=10)).upper())
    ),
    *([], "text", 1, None, [{}]),
]


def sent(value: str, schema: dict[str, Any]) -> Any:
    """What the text of a parameter is, as its schema has it."""
    if schema["type"] == "integer":
        return int(value) if re.fullmatch("-?(0|[1-9][0-9]*)", value) else value
    return [value] if schema["type"] == "array" else value


async def test_parameters_are_taken_and_refused_as_described(home: House, ann: Person, description: Description):
    for (method, path), operation in description.operations().items():
        for parameter in operation["parameters"]:
            name, place = parameter["name"], parameter["in"]
            if place == "header":
                continue
            valid = description.of(parameter["schema"]).is_valid
            needed = {"q": "a"} if "/search" in path else {}
            for value in VALUES:
                if place == "path" and (not value.strip() or "{" in value):  # no address
                    continue
                address = path.replace("{id}", value if place == "path" else str(uuid4()))
                query = needed | ({name: value} if place == "query" else {})
                status = await asking(ann, method, address, params=query)
                unsaid = name == "filter" or ((name, value) in UNSAID and path not in ANY_TEXT)
                taken = valid(sent(value, parameter["schema"])) and not unsaid
                assert (path, name, value, status != 400) == (path, name, value, taken)
        for parameter in parameters_of(operation, "query"):
            if parameter["required"]:
                assert await asking(ann, method, path) == 400


async def test_bodies_are_taken_and_refused_as_described(ann: Person, description: Description):
    """Of a photo that is not there: what is taken finds none."""
    for (method, path), operation in description.operations().items():
        if "requestBody" not in operation:
            continue
        body = operation["requestBody"]
        valid = description.of(body["content"]["application/json"]["schema"]).is_valid
        address = path.replace("{id}", str(uuid4()))
        for content in BODIES:
            status = await asking(ann, method, address, data=json.dumps(content))
            assert (path, content, status) == (path, content, 404 if valid(content) else 400)
        assert await asking(ann, method, address) == (400 if body["required"] else 404)
