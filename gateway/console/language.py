"""The languages of the console, each with a file of texts, and which of them a reader gets."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Language:
    """A language: its `tag` as in browsers, its `name` in the language itself, and its texts by section and name.

    A text may have `{places}` to be filled. A text with a number is a table by plural category (`one`, `other`).
    """

    tag: str
    name: str
    texts: dict[str, dict[str, Any]]


def _load(tag: str, name: str) -> Language:
    text = files("gateway.console").joinpath("texts", f"{tag}.toml").read_text(encoding="utf-8")
    return Language(tag, name, tomllib.loads(text))


LANGUAGES = (_load("en", "English"), _load("zh-CN", "简体中文"))
"""All languages. Who reads none of them gets the first."""


def chosen(wanted: str | None, remembered: str | None, accepted: str) -> Language:
    """The language to answer in.

    Args:
        wanted: the tag in the address, which the reader chose now.
        remembered: the tag that the reader chose before.
        accepted: the header Accept-Language of the reader's browser (RFC 9110, 12.5.4).
    """
    by_tag = {language.tag: language for language in LANGUAGES}
    for tag in (wanted, remembered):
        if tag in by_tag:
            return by_tag[tag]
    # Regions and scripts are ignored: who reads any kind of Chinese reads ours more easily than English.
    by_primary = {language.tag.partition("-")[0]: language for language in LANGUAGES}
    for tag in _ranked(accepted):
        if found := by_primary.get(tag.partition("-")[0].lower()):
            return found
    return LANGUAGES[0]


def _ranked(accepted: str) -> list[str]:
    """The tags of an Accept-Language, the most wanted first. Malformed parts are ignored."""
    weights: dict[str, float] = {}
    for part in accepted[:1000].split(","):
        tag, *parameters = (piece.strip() for piece in part.split(";"))
        weight = 1.0
        for parameter in parameters:
            name, _, value = parameter.partition("=")
            if name.strip().lower() == "q":
                try:
                    weight = float(value)
                except ValueError:
                    weight = 0.0
        if tag and weight > 0:
            weights.setdefault(tag, weight)
    return sorted(weights, key=lambda tag: -weights[tag])
