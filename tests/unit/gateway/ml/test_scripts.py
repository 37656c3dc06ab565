"""Which of Immich's text models ours stands in for."""

import pytest

from gateway.ml import scripts
from indexer.models.ocr.ocr import load_ocr

LETTERS = {
    "": "发票臺灣ABCxyz123",
    "ch": "发票",
    "chinese_cht": "臺灣發票",
    "en": "ABCxyz",
    "japan": "レシートひらがな円",
    "latin": "äöüßéèàçñõåøæœąćęłńóśźżčďěňřšťůžğışİăâîșț",
    "korean": "합계",
    "th": "ใบเสร็จ",
    "eslav": "чекії",
    "cyrillic": "чек",
    "el": "Απόδειξη",
    "arabic": "إيصال",
    "devanagari": "रसीद",
    "ta": "ரசீது",
}


@pytest.mark.parametrize("engine", ["rapidocr", "rapidocr-onnxruntime"])
def test_what_is_answered_for_immichs_text_models_is_what_the_engine_can_write(engine):
    alphabet = load_ocr(engine).alphabet
    assert alphabet is not None
    for script, letters in LETTERS.items():
        known = all(letter in alphabet for letter in letters if letter.isalpha())
        assert scripts.reads(engine, f"{script}__PP-OCRv5_mobile" if script else "PP-OCRv5_mobile") is known, script
