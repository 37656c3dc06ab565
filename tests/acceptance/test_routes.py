"""Every address that the gateway has: what somebody else's key, and none, get of a person's photos there: nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID, uuid4

import pytest
from click.testing import CliRunner

from gateway.app import create_app
from indexer.cli.main import main
from indexer.database.pool import connect_to_immich
from indexer.demo.immich import StandIn
from indexer.photos import facts
from indexer.text import pinyin
from indexer.work.worker import Models
from tests.support import stubs
from tests.support.gateways import stub_models
from tests.support.installs import install
from tests.support.people import House, Person, house
from tests.support.stubs import StubClip, StubOcr
from tests.support.workers import idle, settings_for, working

SECRET, NAME = "秘密的文字", "secret-name"
PUBLIC = {"description": "晚霞之下", "place": "昆明城里"}  # to a partner, as Immich shows them
PRIVATE = {"person": "赵敏小姐", "tag": "标记甲乙", "album": "相集丙丁"}
PICTURE = stubs.picture(1, form="JPEG")
KEY = "mt-photos-key"


@dataclass(frozen=True)
class Route:
    """How an address is asked, `{id}` being a photo.

    Attributes:
        whose: `person`: of whoever proves who they are; `administrator`: of those who are one in Immich; `machine`:
            knows no persons, and answers from what it is sent and with figures; `page`: the same for everybody.
        found: status that somebody else gets.
        parameters: in the address.
    """

    whose: str
    found: int = 200
    parameters: tuple[tuple[str, str], ...] = ()


# A new address has to be entered here, with what others may get of it.
ROUTES = {
    ("GET", "/"): Route("machine"),
    ("GET", "/ping"): Route("machine"),
    ("GET", "/health"): Route("machine"),
    ("GET", "/metrics"): Route("machine"),
    ("POST", "/predict"): Route("machine", 422),
    ("POST", "/check"): Route("machine", 401),
    ("POST", "/ocr"): Route("machine", 401),
    ("POST", "/clip/img"): Route("machine", 401),
    ("POST", "/clip/txt"): Route("machine", 401),
    ("POST", "/represent"): Route("machine", 401),
    ("POST", "/restart"): Route("machine", 401),
    ("POST", "/restart_v2"): Route("machine", 401),
    ("GET", "/api/search"): Route("person", 200, (("q", "秘密"),)),
    ("GET", "/api/search/years"): Route("person", 200, (("q", "秘密"),)),
    ("GET", "/api/suggest"): Route("person", 200, (("q", "秘密"),)),
    ("GET", "/api/people/{id}/thumbnail"): Route("person", 404),
    ("GET", "/api/me"): Route("person"),
    ("GET", "/api/assets/{id}"): Route("person", 404, (("q", "秘密"),)),
    ("GET", "/api/assets/{id}/similar"): Route("person", 404, (("by", "words"),)),
    ("GET", "/api/assets/{id}/thumbnail"): Route("person", 404, (("size", "preview"),)),
    ("POST", "/api/assets/{id}/reprocess"): Route("person", 404),
    ("POST", "/api/assets/{id}/retry"): Route("person", 404),
    ("POST", "/api/webhooks/tagged"): Route("person", 400),
    ("GET", "/api/status"): Route("person"),
    ("GET", "/api/status/events"): Route("person"),
    ("GET", "/api/trial"): Route("administrator"),
    ("GET", "/api/trial/search"): Route("administrator", 409, (("q", "秘密"),)),
    ("GET", "/api/openapi.json"): Route("page"),
    ("GET", "/console"): Route("page"),
    ("GET", "/console/"): Route("page"),
    ("GET", "/console/photo/{id}"): Route("page"),
    ("GET", "/console/status"): Route("page"),
    ("GET", "/console/trial"): Route("page"),
    ("GET", "/console/static/{digest}/{name}"): Route("page", 404),
}


@pytest.fixture
async def photos(database: str, immich: StandIn, owner: UUID) -> list[UUID]:
    """One that says something, one that could not be read; both of the same person."""
    await install(database)
    asset = await immich.upload(PICTURE, owner=owner, file_name=f"{NAME}.jpg")
    bad = await immich.upload(b"no picture", owner=owner, file_name=f"{NAME}-bad.jpg")
    models = Models(StubClip(), StubOcr(say=lambda _: [SECRET]), "cpu")
    connection = await connect_to_immich(database)
    try:
        async with working(settings_for(database, immich.media.directory, max_attempts=1), models):
            await idle(connection)
    finally:
        await connection.close()
    return [asset, bad]


@pytest.fixture
async def home(database: str, immich: StandIn, photos: list[UUID]) -> AsyncIterator[House]:
    async with house(database, immich, forward=None, mt_photos_api_key=KEY) as home:
        yield home


async def ask(person: Person, method: str, path: str, asset: UUID, q: str = "") -> tuple[int, bytes]:
    """Status and, of a stream that does not end, the first event. `q`: to look for, where something is."""
    parameters = dict(ROUTES[method, path].parameters)
    if q and "q" in parameters:
        parameters["q"] = q
    address = path.replace("{id}", str(asset))
    async with person.session.request(method, address, headers=person.headers, params=parameters) as response:
        if response.content_type == "text/event-stream":
            return response.status, await response.content.readuntil(b"\n\n")
        return response.status, await response.read()


def shows(body: bytes, photos: list[UUID]) -> list[str]:
    """What of a person's photos is in an answer."""
    secrets = {text: text.encode() for text in (SECRET, NAME, *map(str, photos))}
    secrets |= {"ann": b'"ann"', "the picture": PICTURE}  # her name in JSON, not a part of "cannot"
    return [name for name, secret in secrets.items() if secret in body]


async def test_every_address_is_entered(database: str, tmp_path):
    settings = settings_for(database, tmp_path, mt_photos_api_key=KEY, immich_url="http://immich")
    app = create_app(settings, stub_models()[0])
    there = {(route.method, route.resource.canonical) for route in app.router.routes() if route.resource is not None}
    there -= {("HEAD", path) for method, path in there if method == "GET"}
    assert there == ROUTES.keys()


async def test_every_address_of_the_api_is_described(home: House):
    described = (await home.nobody().get("/api/openapi.json")).json
    operations = {(method.upper(), path) for path, methods in described["paths"].items() for method in methods}
    assert operations == {(method, path) for method, path in ROUTES if path.startswith("/api/")}
    public = {
        path for path, methods in described["paths"].items() if not any(each["security"] for each in methods.values())
    }
    assert public == {path for (_, path), route in ROUTES.items() if path.startswith("/api/") and route.whose == "page"}


async def test_whose_they_are(home: House, immich: StandIn, owner: UUID, photos: list[UUID]):
    ann = await home.person(owner)
    seen = {
        path: shows((await ask(ann, method, path, photos[0]))[1], photos) for method, path in ROUTES if method == "GET"
    }
    assert {SECRET, NAME} <= set(seen["/api/search"] + seen["/api/assets/{id}"]), "or there would be nothing to hide"
    assert SECRET in seen["/api/suggest"]
    assert seen["/api/assets/{id}/thumbnail"] == ["the picture"]
    assert seen["/api/me"] == ["ann"]
    assert NAME in seen["/api/status"]
    assert NAME in seen["/api/status/events"]


async def test_nobody_and_somebody_else_see_nothing_of_them(home: House, immich: StandIn, photos: list[UUID]):
    eve = await home.person(await immich.create_user("eve"))
    boss = await home.person(await immich.create_user("boss", admin=True))
    for (method, path), route in ROUTES.items():
        for asset in photos:
            for person in (home.nobody(), home.with_key("wrong"), eve, boss):
                status, body = await ask(person, method, path, asset)
                wanted = route.found
                if route.whose in ("person", "administrator") and person not in (eve, boss):
                    wanted = 401
                elif route.whose == "administrator" and person is eve:
                    wanted = 403
                assert (path, status) == (path, wanted)
                assert (path, shows(body, [] if "{id}" in path else photos)) == (path, [])
            if "{id}" in path:
                unknown = await ask(eve, method, path, uuid4())
                assert await ask(eve, method, path, asset) == unknown, "not even that there is such a photo"


async def test_what_is_asked_for_without_a_right_is_not_done(
    home: House, database, immich: StandIn, photos: list[UUID]
):
    eve = await home.person(await immich.create_user("eve"))
    connection = await connect_to_immich(database)
    try:
        for path in ("reprocess", "retry"):
            await eve.post(f"/api/assets/{photos[1]}/{path}", {})
        assert await connection.fetchval("SELECT count(*) FROM immich_indexer.inbox") == 0
    finally:
        await connection.close()


@pytest.fixture
async def known(database: str, immich: StandIn, owner: UUID, photos: list[UUID]) -> list[UUID]:
    """The photos, of which Immich knows much. Whoever the album is shared with does not search by its name."""
    for photo in photos:
        await immich.describe(photo, PUBLIC["description"])
        await immich.locate(photo, PUBLIC["place"], None, None)
        await immich.name_person(owner, await immich.recognise(photo), PRIVATE["person"])
        await immich.tag(photo, PRIVATE["tag"])
    await immich.create_album(owner, PRIVATE["album"], photos)
    connection = await connect_to_immich(database)
    try:
        async with connection.transaction():
            assert await facts.refresh(connection, photos) == len(photos)
    finally:
        await connection.close()
    return photos


def pieces(field: str, value: str) -> tuple[str, str, str]:
    """What to type to find it: a part of it, so that an answer that repeats the question shows nothing."""
    return value[:2], f"{field}:{value[:2]}", "".join(pinyin.readings(character)[0] for character in value[:2])


def matched(answer: Any) -> set[str]:
    """The fields in which photos were found by words. Empty: none were found."""
    fields = {fact["field"] for item in answer["items"] for fact in item["why"]["fields"]}
    assert bool(fields) == bool(answer["textMatches"])
    return fields


async def test_facts_are_shown_as_immich_shows_them(home: House, immich: StandIn, owner: UUID, known: list[UUID]):
    """To the owner all, to a partner those that Immich shows partners, to a stranger none: at every address."""
    partner = await immich.create_user("bob")
    await immich.share(owner, partner)
    ann, bob, eve = [await home.person(user) for user in (owner, partner, await immich.create_user("eve"))]

    async def found(person: Person, q: str) -> set[str]:
        status, body = await ask(person, "GET", "/api/search", known[0], q)
        assert status == 200
        return matched(json.loads(body))

    async def suggested(person: Person, q: str) -> set[str]:
        status, body = await ask(person, "GET", "/api/suggest", known[0], q)
        assert status == 200
        return {item["kind"] for item in json.loads(body)["items"]}

    async def counted(person: Person, q: str) -> int:
        status, body = await ask(person, "GET", "/api/search/years", known[0], q)
        assert status == 200
        return sum(year["photos"] for year in json.loads(body)["years"])

    asked = {q: field for field, value in (PUBLIC | PRIVATE).items() for q in pieces(field, value)}
    for q, field in asked.items():
        assert await found(ann, q) == {field}, q
        assert await found(bob, q) == {field} & PUBLIC.keys(), q
        assert await found(eve, q) == set(), q
        kinds = {field} - {"description"}
        assert await suggested(ann, q) == kinds, q
        assert await suggested(bob, q) == kinds & PUBLIC.keys(), q
        assert await suggested(eve, q) == set(), q
        assert await counted(ann, q) == len(known), q
        assert await counted(bob, q) == len(known) * (field in PUBLIC), q
        assert await counted(eve, q) == 0, q
    for (method, path), route in ROUTES.items():
        for q in asked if "q" in dict(route.parameters) else [""]:
            for person, hidden in ((bob, PRIVATE), (eve, PUBLIC | PRIVATE)):
                body = (await ask(person, method, path, known[0], q))[1].decode(errors="replace")
                assert [secret for secret in hidden.values() if secret in body] == [], (path, q)


async def test_the_command_line_finds_for_a_user_what_the_gateway_does(
    database: str, immich: StandIn, owner: UUID, known: list[UUID]
):
    await immich.share(owner, await immich.create_user("bob"))
    await immich.create_user("eve")
    runner = CliRunner(env={"DB_URL": database, "TASKS": "ocr", "COLUMNS": "500"})

    async def said(*arguments: str) -> str:
        done = await asyncio.to_thread(runner.invoke, main, arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    for field, value in (PUBLIC | PRIVATE).items():
        for q in pieces(field, value):
            for user, sees in (("ann", True), ("bob", field in PUBLIC), ("eve", False)):
                shown = await said("search", "--user", f"{user}@example.org", q)
                assert (f"{field}: {value}" in shown) is sees, (user, q)
                assert sees or shown == "nothing\n", (user, q)
