"""Which of Immich's text models our OCR engine can replace: those whose scripts it reads.

Immich names a model for one script `SCRIPT__PP-OCRv5_mobile`. Its general ones (Chinese, Japanese, English) have no
`SCRIPT__`.
"""

from indexer.models.ocr.names import EngineName

READ: dict[EngineName, frozenset[str]] = {
    "rapidocr": frozenset({"", "ch", "chinese_cht", "en", "japan", "latin"}),
    "rapidocr-onnxruntime": frozenset({"", "ch", "chinese_cht", "en"}),
}
"""The part before `__`, in lower case, of the names of models that our engine can replace."""


def reads(engine: EngineName, model: str) -> bool:
    """Whether `engine` reads the script of Immich's text model `model`. False for unknown names."""
    script, parted, _ = model.partition("__")
    return (script.lower() if parted else "") in READ[engine]
