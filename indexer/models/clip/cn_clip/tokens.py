"""cn_clip's tokens, without torch."""

from collections.abc import Iterator, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unicodedata import category, normalize

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

CONTEXT = 52
"""Tokens of a text at most, as in cn_clip, with the two at its ends."""

_AT_ONCE = 32  # texts

Tokens = npt.NDArray[np.int32]


@cache
def tokeniser() -> Tokenizer:
    """cn_clip's `FullTokenizer` with its vocabulary, not to be changed."""
    package = find_spec("cn_clip")  # imports nothing
    assert package is not None  # noqa: S101 - we depend on it
    assert package.origin is not None  # noqa: S101
    vocabulary = models.WordPiece.read_file(str(Path(package.origin).parent / "clip" / "vocab.txt"))
    made = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]", max_input_chars_per_word=200))  # noqa: S106 - no secret
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    ends = [(token, vocabulary[token]) for token in ("[CLS]", "[SEP]")]
    made.post_processor = processors.TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=ends)
    return made


def tokenise(texts: Sequence[str]) -> Tokens:
    """Numbers of tokens as of `cn_clip.clip.tokenize`, (n, longest of them) int32, 0 as padding. It cuts long texts."""
    cut = [_cut(tokeniser().encode(_cleaned(text)).ids) for text in texts]
    tokens = np.zeros((len(cut), max(map(len, cut), default=0)), dtype=np.int32)
    for row, numbers in zip(tokens, cut, strict=True):
        row[: len(numbers)] = numbers
    return tokens


def batches(tokens: npt.NDArray[Any]) -> Iterator[tuple[npt.NDArray[np.intp], npt.NDArray[Any]]]:
    """Rows of `tokens` that go together, at most 32: their numbers, and the rows without padding that all have.

    Texts of similar length go together, padded to the longest of them: less work for the same result.
    """
    lengths = np.count_nonzero(tokens, axis=1)
    order = np.argsort(lengths, kind="stable")
    for start in range(0, len(order), _AT_ONCE):
        rows = order[start : start + _AT_ONCE]
        yield rows, tokens[rows, : lengths[rows].max()]


def _cleaned(text: str) -> str:
    """Without accents and marks of format, and with spaces around punctuation, as cn_clip makes it.

    The library does the same, but by an older Unicode than Python's, which cn_clip goes by.
    """
    if text.isascii():
        return text
    kept = ((letter, category(letter)) for letter in normalize("NFD", text.lower()))
    return "".join(f" {letter} " if kind[0] == "P" else letter for letter, kind in kept if kind not in ("Mn", "Cf"))


def _cut(numbers: list[int]) -> list[int]:
    return numbers if len(numbers) <= CONTEXT else [*numbers[: CONTEXT - 1], numbers[-1]]
