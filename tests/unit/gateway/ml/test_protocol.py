"""Immich's requests taken apart, its answers put together."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError, MalformedError, MissingInputError, TooLargeError
from gateway.ml import protocol
from indexer.photos.lines import StoredLine
from tests.support import gateways
from tests.support.gateways import BOUNDARY, CLIP, FACES, OCR, TEXT

TYPE = f"multipart/form-data; boundary={BOUNDARY.decode()}"


def parse(body: bytes, content_type: str = TYPE) -> protocol.PredictRequest:
    return protocol.parse(body, content_type)


def test_an_image_request_of_immich():
    image = bytes(range(256)) + b"\r\n--not the boundary\r\n\r\n"
    request = parse(gateways.form(OCR, image))
    assert (request.entries, request.image, request.text) == (OCR, image, None)
    assert request.min_score("ocr", "detection") == 0.5
    assert request.min_score("ocr", "recognition") == 0.8
    assert request.max_resolution("ocr", "detection") == 736
    assert request.max_resolution("ocr", "recognition") is None


@pytest.mark.parametrize("text", ["", "发票", "a\r\nb", "🐈‍⬛ \0 ", "x" * 16384])
def test_a_text_request_of_immich(text):
    request = parse(gateways.form(TEXT, text=text))
    assert (request.entries, request.image, request.text) == (TEXT, None, text)


def test_the_last_boundary_of_older_undici_has_no_line_end():
    assert parse(gateways.form(TEXT, text="猫").removesuffix(b"\r\n")).text == "猫"


@pytest.mark.parametrize(
    "content_type",
    [
        TYPE.replace(BOUNDARY.decode(), f'"{BOUNDARY.decode()}"'),
        TYPE.upper().replace(BOUNDARY.decode().upper(), BOUNDARY.decode()),
        TYPE + "; charset=utf-8",
    ],
)
def test_other_ways_to_name_a_boundary(content_type):
    assert parse(gateways.form(TEXT, text="猫"), content_type).text == "猫"


@pytest.mark.parametrize(
    "entries",
    [b"", b"{", b"null", b"[]", b'"clip"', b"{}", b"1", b"\xff", b"[" * 60_000, b'{"a":' + b"1" * 70_000 + b"}"],
)
def test_entries_that_are_no_entries(entries):
    with pytest.raises(MalformedError):
        parse(gateways.form(entries, text="猫"))


@pytest.mark.parametrize(
    "entries",
    [
        {"clip": None},
        {"clip": []},
        {"clip": {"textual": None}},
        {"clip": {"textual": {}}},
        {"clip": {"textual": {"modelName": 1}}},
        {"clip": {"textual": {"modelName": "a", "options": []}}},
    ],
)
def test_an_entry_that_is_none(entries):
    with pytest.raises(MalformedError):
        parse(gateways.form(entries, text="猫")).entry("clip", "textual")


@pytest.mark.parametrize("score", [None, "0.5", [], True, float("nan"), float("inf")])
def test_a_score_that_is_none(score):
    entries = {"ocr": {"detection": {"modelName": "a", "options": {"minScore": score}}}}
    with pytest.raises(MalformedError):
        parse(gateways.form(entries, b"image")).min_score("ocr", "detection")


@pytest.mark.parametrize("pixels", ["736", [], True, 736.5, 0, -1])
def test_a_resolution_that_is_none(pixels):
    entries = {"ocr": {"detection": {"modelName": "a", "options": {"maxResolution": pixels}}}}
    with pytest.raises(MalformedError):
        parse(gateways.form(entries, b"image")).max_resolution("ocr", "detection")


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", TYPE),
        (b"\r\n", TYPE),
        (gateways.form(TEXT, text="猫"), ""),
        (gateways.form(TEXT, text="猫"), "application/json"),
        (gateways.form(TEXT, text="猫"), "multipart/form-data"),
        (gateways.form(TEXT, text="猫"), "multipart/form-data; boundary=another"),
        (gateways.form(TEXT, text="猫")[:-30], TYPE),
        (gateways.form(TEXT, text="猫").replace(b"\r\n", b"\n"), TYPE),
        (gateways.form(TEXT, text="猫").replace(b'name="entries"', b'name="entry"'), TYPE),
        (gateways.form(TEXT, text="猫").replace(b'name="entries"', b'name="text"'), TYPE),
        (gateways.form(TEXT, text="猫").replace("猫".encode(), b"\xff\xfe"), TYPE),
        (gateways.form(TEXT, text="猫").replace(b"form-data;", b"attachment;"), TYPE),
        ((b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="a%d"\r\n\r\n1\r\n') * 40, TYPE),
    ],
)
def test_forms_that_are_none(body, content_type):
    with pytest.raises(MalformedError):
        parse(body, content_type)


def test_neither_image_nor_text():
    with pytest.raises(MissingInputError):
        parse(gateways.form(TEXT))


def test_a_text_too_long():
    with pytest.raises(TooLargeError):
        parse(gateways.form(TEXT, text="长" * 10_000))


def test_what_is_sent_on_whole_is_the_very_body():
    request = parse(gateways.form(FACES, b"image"))
    assert request.form_for(["facial-recognition"]) is request


def test_what_is_sent_on_in_part_is_a_form_of_its_own():
    request = parse(gateways.form(CLIP | FACES | OCR, b"image \r\n------formdata-undici-046872319955 \xff"))
    part = request.form_for(["facial-recognition"])
    again = parse(part.body.start(part.body.arrived), part.content_type)
    assert (again.entries, again.image, again.text) == (FACES, request.image, None)


@given(st.binary(max_size=400), st.binary(max_size=40))
def test_no_bytes_are_worse_than_malformed(noise, more):
    body = gateways.form(CLIP, b"image")
    for bad in (
        noise,
        body[:100] + noise + body[100:],
        body + noise,
        b"--" + BOUNDARY + noise + b"--" + BOUNDARY + more,
    ):
        try:
            parse(bad)
        except GatewayError as error:
            assert error.status in (400, 413, 422)  # noqa: PT017


@given(
    st.binary(max_size=300),
    st.text(max_size=100),
    st.dictionaries(st.text(min_size=1, max_size=9), st.booleans(), min_size=1),
)
def test_what_we_write_we_read(image, text, entries):
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    request = parse(*protocol.form(entries, image=image, text=text))
    assert (request.entries, request.image, request.text) == (entries, image, text)


def test_a_vector_is_a_string_of_a_json_array_and_exact():
    vector = np.random.default_rng(0).standard_normal(512).astype(np.float16).astype(np.float32)
    answer = protocol.vector_answer(vector)
    assert (np.array(json.loads(answer), dtype=np.float32) == vector).all()


def test_lines_are_filtered_by_their_scores():
    box = [0.1, 0.1, 0.9, 0.1, 0.9, 0.2, 0.1, 0.2]
    scores = {"清楚": (0.9, 0.95), "模糊的框": (0.4, 0.95), "模糊的字": (0.9, 0.7)}
    lines = [StoredLine(text, tuple(box), *score) for text, score in scores.items()]
    assert protocol.ocr_answer(lines, 0.5, 0.8) == {
        "text": ["清楚"],
        "box": box,
        "boxScore": [0.9],
        "textScore": [0.95],
    }
    assert protocol.ocr_answer(lines, 0, 0)["text"] == ["清楚", "模糊的框", "模糊的字"]
    assert protocol.ocr_answer([], 0.5, 0.8) == {"text": [], "box": [], "boxScore": [], "textScore": []}
