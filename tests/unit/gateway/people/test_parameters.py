"""What the API takes: as its schemas say, whatever is sent, and told in sentences that name what is wrong."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from pydantic import BaseModel, ValidationError

from gateway.errors import ParameterError
from gateway.people.assets import AssetParameters
from gateway.people.overview import ScopeParameters
from gateway.people.parameters import validated
from gateway.people.reprocess import ReprocessContent, RetryContent
from gateway.people.search import SearchParameters
from gateway.people.thumbnails import ThumbnailParameters
from gateway.people.webhooks import TaggedContent

ABSENT = "q: only words to leave out: say what to look for, too, as in `发票 -餐饮`"
ID = "0d6c8f3e-0000-4000-8000-000000000000"


def is_taken(model: type[BaseModel], content: Any) -> bool:
    try:
        model.model_validate(content)
    except ValidationError:
        return False
    return True


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
    max_leaves=5,
)
tasks = st.lists(st.sampled_from(["ocr", "clip", "faces", 1, None]), max_size=3)
bodies = st.one_of(
    json_values,
    st.fixed_dictionaries({}, optional={"tasks": tasks | json_values, "wait": st.floats(-1, 130) | json_values}),
    st.dictionaries(st.sampled_from(["tasks", "wait", "data", "x"]), json_values),
    st.fixed_dictionaries(
        {"data": st.fixed_dictionaries({"asset": st.fixed_dictionaries({"id": st.uuids().map(str) | json_values})})}
    ),
)


@pytest.mark.parametrize("model", [ReprocessContent, RetryContent, TaggedContent])
@given(content=bodies)
def test_bodies_are_taken_that_their_schema_allows(model: type[BaseModel], content: Any):
    valid = Draft202012Validator(model.model_json_schema()).is_valid
    content = json.loads(json.dumps(content))
    assert is_taken(model, content) == valid(content)


def in_utc(text: str) -> datetime:
    moment = datetime.fromisoformat(text.upper())
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


moments = st.datetimes(timezones=st.none() | st.timezones()).map(datetime.isoformat)
near_moments = st.text(alphabet="0123456789-:.TtZz+ ", max_size=25)


@given(text=moments | near_moments | st.dates().map(str))
def test_times_are_taken_that_their_schema_allows(text: str):
    valid = Draft202012Validator(SearchParameters.model_json_schema()["properties"]["after"]).is_valid(text)
    if is_taken(SearchParameters, {"q": "a", "after": text}):
        assert valid
    elif valid:  # no schema knows the calendar, or what is before all time in UTC
        with pytest.raises((ValueError, OverflowError)):
            in_utc(text)


@pytest.mark.parametrize(
    ("model", "content", "sentence"),
    [
        (SearchParameters, {}, "q: say what to look for, as in ?q=发票"),
        (SearchParameters, {"q": " "}, "q: say what to look for, as in ?q=发票"),
        (SearchParameters, {"q": "票" * 201}, "q: at most 200 characters"),
        (SearchParameters, {"q": "a", "mode": "x"}, "mode: one of hybrid, ocr, clip"),
        (SearchParameters, {"q": "a", "limit": "0"}, "limit: a number from 1 to 100"),
        (SearchParameters, {"q": "a", "offset": "x"}, "offset: a number from 0 to 1000"),
        (
            SearchParameters,
            {"q": "a", "after": "x"},
            "after: a date or time like 2024-05-01 or 2024-05-01T18:30:00Z (a + in an address is written %2B)",
        ),
        (
            SearchParameters,
            {"q": "a", "offset": "999"},
            "offset: at most 1000 photos can be paged through; look for something rarer",
        ),
        (
            SearchParameters,
            {"q": "ocr:-{a}"},
            ABSENT,
        ),
        (
            AssetParameters,
            {"id": ID, "q": "-a"},
            ABSENT,
        ),
        (AssetParameters, {"id": "1"}, "the address must name a photo by its id, as in /api/assets/0d6c8f3e-..."),
        (ThumbnailParameters, {"id": ID, "size": "x"}, "size: one of thumbnail, preview"),
        (ScopeParameters, {"scope": "x"}, "scope: one of own, all"),
        (ReprocessContent, {"tasks": []}, 'tasks: a list of "ocr", "clip" or both'),
        (ReprocessContent, {"tasks": [1]}, 'tasks: a list of "ocr", "clip" or both'),
        (ReprocessContent, {"wait": 121}, "wait: seconds, from 0 to 120"),
        (ReprocessContent, {"wait": 10**400}, "wait: seconds, from 0 to 120"),
        (ReprocessContent, {"wait": float("nan")}, "wait: seconds, from 0 to 120"),
        (
            TaggedContent,
            {"data": {"asset": {"id": 1}}},
            'the body names no photo: it is not what Immich sends, {"data": {"asset": {"id": "..."}}}',
        ),
    ],
)
def test_a_sentence_names_what_is_wrong(model: type[BaseModel], content: dict[str, Any], sentence: str):
    with pytest.raises(ParameterError) as refused:
        validated(model, content)
    assert str(refused.value) == sentence
