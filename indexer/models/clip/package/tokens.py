"""Turns a text into the tokens of a package, as Immich's machine-learning server does."""

import string
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tokenizers import Tokenizer

from indexer.errors import WeightsError
from indexer.models.clip.package.layout import Package

_PUNCTUATION = str.maketrans("", "", string.punctuation)

_ENGLISH = "eng_Latn"
# From Immich's languages to the tokens of nllb, whose languages are those of FLORES-200. As in Immich 3.1.
_TOKENS = """
    af:afr_Latn ar:arb_Arab az:azj_Latn be:bel_Cyrl bg:bul_Cyrl ca:cat_Latn cs:ces_Latn da:dan_Latn
    de:deu_Latn el:ell_Grek en:eng_Latn es:spa_Latn et:est_Latn fa:pes_Arab fi:fin_Latn fr:fra_Latn he:heb_Hebr
    hi:hin_Deva hr:hrv_Latn hu:hun_Latn hy:hye_Armn id:ind_Latn it:ita_Latn ja:jpn_Hira kmr:kmr_Latn ko:kor_Hang
    lb:ltz_Latn lt:lit_Latn lv:lav_Latn mfa:zsm_Latn mk:mkd_Cyrl mn:khk_Cyrl mr:mar_Deva ms:zsm_Latn nb-NO:nob_Latn
    nn:nno_Latn nl:nld_Latn pl:pol_Latn pt-BR:por_Latn pt:por_Latn ro:ron_Latn ru:rus_Cyrl sk:slk_Latn sl:slv_Latn
    sr-Cyrl:srp_Cyrl sv:swe_Latn ta:tam_Taml te:tel_Telu th:tha_Thai tr:tur_Latn uk:ukr_Cyrl ur:urd_Arab
    vi:vie_Latn zh-CN:zho_Hans zh-Hans:zho_Hans zh-TW:zho_Hant"""
_FLORES = dict(pair.split(":") for pair in _TOKENS.split())

Tokens = npt.NDArray[np.int32]


class PackageTokens:
    """The tokeniser of a package. Every method may be called from any thread.

    Raises:
        WeightsError: its files cannot be used.
    """

    def __init__(self, package: Package) -> None:
        path, pad = package.file("text", "tokenizer.json"), package.pad_token
        self._canonical, self._by_language = package.is_canonical, package.by_language
        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # the package `tokenizers` has no class for its errors
            raise WeightsError(f"{path} is missing or no tokeniser: {error}") from error
        number = self._tokenizer.token_to_id(pad)
        if number is None:
            raise WeightsError(f"{path} does not know the pad_token {pad!r} of its tokenizer_config.json")
        self._tokenizer.enable_padding(length=package.context, pad_token=pad, pad_id=number)
        self._tokenizer.enable_truncation(max_length=package.context)

    def __call__(self, texts: Sequence[str], language: str | None = None) -> tuple[Tokens, Tokens]:
        """Numbers of tokens and the mask, which is 0 at padding: each (n, context) int32."""
        found = [self._tokenizer.encode(self.cleaned(text, language)) for text in texts]
        return (
            np.array([each.ids for each in found], dtype=np.int32),
            np.array([each.attention_mask for each in found], dtype=np.int32),
        )

    def cleaned(self, text: str, language: str | None) -> str:
        """The text as it is cut into tokens: with single spaces, and what else the package wants."""
        text = " ".join(text.split())
        if self._canonical:
            text = text.translate(_PUNCTUATION).lower()
        return f"{flores(language)}{text}" if self._by_language and language is not None else text


def flores(language: str) -> str:
    """The token of nllb for a language of Immich's. English where it has none."""
    return _FLORES.get(language) or _FLORES.get(language.split("-")[0], _ENGLISH)
