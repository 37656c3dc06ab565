"""The languages of the console, one file of texts each, and the choice between them."""

import tomllib
from dataclasses import dataclass
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Language:
    """One language: `tag` as browsers name it, its `name` in itself, and all its texts by section and name.

    A text has `{places}` to be filled; one that counts something is a table by plural category (`one`, `other`).
    """

    tag: str
    name: str
    texts: dict[str, dict[str, Any]]


def _load(tag: str, name: str) -> Language:
    text = files("gateway.console").joinpath("texts", f"{tag}.toml").read_text(encoding="utf-8")
    return Language(tag, name, tomllib.loads(text))


LANGUAGES = (_load("en", "English"), _load("zh-CN", "简体中文"))
"""All of them; the first for those who read none."""


def chosen(wanted: str | None, remembered: str | None, accepted: str) -> Language:
    """The language to answer in.

    Args:
        wanted: the tag that somebody chose in the address.
        remembered: the one that they chose before.
        accepted: the header Accept-Language of their browser (RFC 9110, 12.5.4).
    """
    by_tag = {language.tag: language for language in LANGUAGES}
    for tag in (wanted, remembered):
        if tag in by_tag:
            return by_tag[tag]
    # A region or script is not asked for: whoever reads any Chinese reads ours more easily than English.
    by_primary = {language.tag.partition("-")[0]: language for language in LANGUAGES}
    for tag in _ranked(accepted):
        if found := by_primary.get(tag.partition("-")[0].lower()):
            return found
    return LANGUAGES[0]


def _ranked(accepted: str) -> list[str]:
    """The tags of an Accept-Language, the most wanted first. What is malformed is passed over."""
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
