"""The language in which a person asks, as a browser tells it."""

import pytest

from gateway.people.search import spoken


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh-CN"),
        ("de;q=0.7", "de"),
        (" ja , en", "ja"),
        ("*", None),
        ("", None),
    ],
)
def test_the_language_named_first(accepted, language):
    assert spoken(accepted) == language
