"""Which of Immich's text models ours stands in for: those whose scripts it reads.

Immich names a model for a script `SCRIPT__PP-OCRv5_mobile`, and its general ones (Chinese, Japanese, English) without.
"""

from indexer.models.ocr_engines import EngineName

READ: dict[EngineName, frozenset[str]] = {
    "rapidocr": frozenset({"", "ch", "chinese_cht", "en", "japan", "latin"}),
    "rapidocr-onnxruntime": frozenset({"", "ch", "chinese_cht", "en"}),
}
"""What stands before the `__`, in small letters, in the names of models that an engine of ours can replace."""


def reads(engine: EngineName, model: str) -> bool:
    """Whether `engine` knows the letters that Immich's text model `model` is for. False of names nobody knows here."""
    script, parted, _ = model.partition("__")
    return (script.lower() if parted else "") in READ[engine]
