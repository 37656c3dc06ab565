"""The console without a browser: its texts in every language, the choice between them, and what it is served with."""

import re
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from gateway.console.language import LANGUAGES, chosen
from gateway.console.pages import Console

PACKAGE = files("gateway.console")
SOURCES = {
    file.name: file.read_text(encoding="utf-8")
    for folder in ("static", "templates")
    for file in PACKAGE.joinpath(folder).iterdir()
}


@pytest.fixture
async def client() -> Iterator[TestClient]:
    app = web.Application()
    app.add_routes(Console().routes())
    async with TestClient(TestServer(app)) as client:
        yield client


def texts(language) -> dict[str, list[str]]:
    """All forms of each text, by its whole name."""
    return {
        f"{section}.{name}": list(text.values()) if isinstance(text, dict) else [text]
        for section, named in language.texts.items()
        for name, text in named.items()
    }


def test_every_language_has_every_text_with_the_same_places():
    first, *others = LANGUAGES
    for other in others:
        assert texts(other).keys() == texts(first).keys(), other.tag
        for name, forms in texts(other).items():
            wanted = {frozenset(places(form)) for form in texts(first)[name]}
            assert {frozenset(places(form)) for form in forms} == wanted, (other.tag, name)


def places(form: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", form)


@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.tag)
def test_texts_are_not_empty_and_count_in_every_form_of_the_language(language):
    categories = {"en": {"one", "other"}, "zh-CN": {"other"}}[language.tag]
    for section in language.texts.values():
        for name, text in section.items():
            forms: dict[str, Any] = text if isinstance(text, dict) else {"other": text}
            assert all(form.strip() for form in forms.values()), name
            if isinstance(text, dict):
                assert forms.keys() == categories, name


def test_chinese_is_chinese():
    chinese = texts(next(language for language in LANGUAGES if language.tag == "zh-CN"))
    untranslated = {name for name, forms in chinese.items() if not all(re.search("[一-鿿]", form) for form in forms)}
    assert untranslated == {"page.version"}


def test_every_text_is_used_and_every_used_text_is_there():
    known = set(texts(LANGUAGES[0]))
    written = "\n".join(SOURCES.values())
    used = set(re.findall(r'"((?:page|signin|search|photo|compare|status|trial|error)\.[a-z_]+)"', written))
    used |= set(re.findall(r"texts\.([a-z]+\.[a-z_]+)", written))
    # Put together from what the gateway says, and in loops of the templates.
    made = re.compile(
        r"error\.\w+|photo\.state_\w+|page\.(search|photo|status|trial)_title|status\.engine_\w+|search\.(hybrid|ocr|clip)"
        r"|search\.(kind|field|like|none_like)_\w+|trial\.(kind|verdict)_\w+"
    )
    made_status = {f"status.{name}" for name in ("waiting", "running", "retrying", "failed", "with_text", "rate")}
    assert used <= known, used - known
    unused = {name for name in known - used - made_status if not made.fullmatch(name)}
    assert not unused


def test_every_error_of_the_gateway_has_a_text():
    import gateway.errors as errors

    codes = {
        kind.code for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.GatewayError)
    }
    asked = codes - {"error", "bad_input", "too_large", "malformed", "slow_client", "unsupported"}  # not of what we ask
    assert {f"error.{code}" for code in asked} <= set(texts(LANGUAGES[0]))


@pytest.mark.parametrize(
    ("wanted", "remembered", "accepted", "tag"),
    [
        (None, None, "", "en"),
        (None, None, "zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        (None, None, "zh-TW", "zh-CN"),
        (None, None, "zh-Hant-HK;q=0.4, de;q=0.9", "zh-CN"),
        (None, None, "de, fr", "en"),
        (None, None, "en;q=0.5, ZH;q=0.9", "zh-CN"),
        (None, None, "zh;q=0, en;q=0.1", "en"),
        (None, None, "zh;q=much, *", "en"),
        (None, None, "zhuang", "en"),
        ("zh-CN", "en", "en", "zh-CN"),
        ("tlh", "zh-CN", "en", "zh-CN"),
        (None, "zh-CN", "en", "zh-CN"),
        ("<script>", "<script>", ";;;,=,q", "en"),
    ],
)
def test_the_language(wanted, remembered, accepted, tag):
    assert chosen(wanted, remembered, accepted).tag == tag


@pytest.mark.parametrize("path", ["/console", "/console/status", "/console/photo/whatever"])
async def test_pages_allow_no_inline_code_and_are_in_no_frame(client, path):
    answer = await client.get(path, headers={"Accept-Language": "zh-CN"})
    html = await answer.text()
    assert (answer.status, answer.content_type, answer.headers["Content-Language"]) == (200, "text/html", "zh-CN")
    assert '<html lang="zh-CN">' in html
    policy = answer.headers["Content-Security-Policy"]
    assert policy == (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    assert not re.search(r"\son\w+=|\sstyle=|<style", html)
    assert re.findall(r"<script(?! type=\"application/json\")(?![^>]*\ssrc=)", html) == []


async def test_what_stands_in_an_address_is_not_code(client):
    answer = await client.get('/console/photo/"><script>alert(1)</script>?lang="><script>&q=<script>')
    assert "<script>alert" not in await answer.text()
    assert '"><script>' not in await answer.text()


async def test_a_chosen_language_is_kept(client):
    answer = await client.get("/console?lang=zh-CN", headers={"Accept-Language": "en"})
    assert answer.cookies["console_lang"].value == "zh-CN"
    assert (await client.get("/console/status", headers={"Accept-Language": "en"})).headers[
        "Content-Language"
    ] == "zh-CN"
    assert not (await client.get("/console?lang=tlh")).cookies


async def test_files_are_kept_for_ever_under_a_name_that_changes_with_them(client):
    html = await (await client.get("/console")).text()
    addresses = re.findall(r'"(/console/static/[^"]+)"', html)
    assert {address.rpartition("/")[2] for address in addresses} == {"console.css", "icon.svg", "search.js"}
    for address in addresses:
        answer = await client.get(address)
        assert (answer.status, answer.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
    types = {
        name.rpartition(".")[2]: (await client.get(f"{addresses[0].rpartition('/')[0]}/{name}")).content_type
        for name in ("console.css", "icon.svg", "search.js")
    }
    assert types == {"css": "text/css", "svg": "image/svg+xml", "js": "text/javascript"}
    for wrong in (
        "/console/static/0/search.js",
        addresses[0] + "x",
        addresses[0].rpartition("/")[0] + "/..%2fpages.py",
    ):
        assert (await client.get(wrong)).status == 404


async def test_with_a_slash_at_the_end(client):
    answer = await client.get("/console/", allow_redirects=False)
    assert (answer.status, answer.headers["Location"]) == (308, "/console")


def test_text_is_never_put_in_as_html():
    scripts = "\n".join(text for name, text in SOURCES.items() if name.endswith(".js"))
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", scripts)
    assert "| safe" not in "\n".join(text for name, text in SOURCES.items() if name.endswith(".html"))
