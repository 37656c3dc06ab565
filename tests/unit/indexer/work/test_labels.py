"""Which questions the descriptions, tags, albums and people of a sample give."""

from datetime import UTC, datetime
from uuid import UUID

from indexer.photos.facts import Facts
from indexer.text.fields import FIELDS
from indexer.work import labels


def facts(**values: list[str]) -> Facts:
    given = {field: values.get(field.name, []) for field in FIELDS}
    return Facts(UUID(int=0), datetime(2024, 5, 1, tzinfo=UTC), None, "image", given)


def asked(*photos: Facts) -> dict[tuple[str, str], set[int]]:
    made = labels.questions({UUID(int=number): photo for number, photo in enumerate(photos)})
    return {(question.kind, question.text): {asset.int for asset in question.photos} for question in made}


def test_the_same_words_of_several_photos_are_one_question():
    nothing = facts()
    found = asked(facts(tag=["海边"], album=["海边"]), facts(tag=["海边"]), facts(description=[" a  b\n"]), nothing)
    assert found == {("tag", "海边"): {0, 1}, ("album", "海边"): {0}, ("description", "a b"): {2}}


def test_a_tag_is_asked_without_the_slashes_of_its_path():
    assert asked(facts(tag=["旅行/日本"]), facts(album=["旅行/日本"])) == {
        ("tag", "旅行 日本"): {0},
        ("album", "旅行/日本"): {1},
    }


def test_what_finds_nothing_is_not_asked():
    without = facts(description=[""], person=["2019"], album=["🏖"], place=["昆明"], file=["a.jpg"])
    assert asked(facts(tag=["all"]), facts(tag=["all"]), without) == {}, "of most photos, no letters, not theirs"


def test_there_is_an_end_to_questions():
    photos = [facts(description=[f"number {number} x"]) for number in range(1500)]
    first, second = asked(*photos), asked(*photos)
    assert len(first) == 1000
    assert first == second


def test_chinese_words_are_asked_in_chinese():
    made = labels.questions({UUID(int=0): facts(tag=["海边 sea"]), UUID(int=1): facts(tag=["sea"])})
    assert {question.text: question.language for question in made} == {"海边 sea": "zh-CN", "sea": None}
