"""What the width of Immich's vector column means for the words of photos, in words for a person."""

from indexer.photos.results import MODEL_NAMES, width_advice
from indexer.photos.vectors import room

_ROOMY = 500  # dimensions for words with which `ocr:` finds what it should


def known(width: int, dimensions: int) -> str:
    """The width, what of it the model takes, and the Immich model of that width."""
    return f"{width} for the model's {dimensions} (Immich's {MODEL_NAMES.get(width, 'none that we know')}, ...)"


def advice(width: int, dimensions: int) -> str | None:
    """What to do so that the column holds the vectors of a model, and words; None where all is well."""
    if width < dimensions:
        return f"{width}, but the CLIP model needs {dimensions}: {width_advice(dimensions)}"
    words = room(width, dimensions)
    if words >= _ROOMY:
        return None
    wider = ", ".join(f"{MODEL_NAMES[wide]} ({wide})" for wide in MODEL_NAMES if room(wide, dimensions) >= _ROOMY)
    return (
        f"{known(width, dimensions)}: {words or 'no'} dimensions are left for words, so `ocr:` in Immich's search box "
        f"misses one photo in eight and other searches find none by their words. In Immich, choose "
        f"{wider or 'no other model'} as CLIP model; Immich then empties its vectors, and a running indexer fills them "
        "again without reading any photo anew"
    )
