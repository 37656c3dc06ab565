"""What the width of Immich's vector column means for the words of photos, explained for people."""

from indexer.photos.vectors import room

# Widths of Immich's own CLIP models, with one model name each, for advice.
MODEL_NAMES = {
    512: "ViT-B-32__openai",
    640: "ViT-B-16-plus-240__laion400m_e31",
    768: "ViT-L-14__openai",
    1024: "XLM-Roberta-Large-ViT-H-14__frozen_laion5b_s13b_b90k",
    1152: "ViT-SO400M-16-SigLIP2-384__webli",
    1536: "ViT-gopt-16-SigLIP2-384__webli",
}

_ROOMY = 500  # so many dimensions for words are enough for `ocr:`


def width_advice(needed: int) -> str:
    """Which model to choose in Immich so that vectors of `needed` dimensions fit."""
    names = ", ".join(f"{name} ({width})" for width, name in MODEL_NAMES.items() if width >= needed)
    if not names:
        return f"no model of Immich's has so many: choose a CLIP_MODEL with at most {max(MODEL_NAMES)}"
    return (
        f"in Immich, Administration > Settings > Machine Learning > Smart Search, choose a CLIP model such as {names}"
    )


def known(width: int, dimensions: int) -> str:
    """A sentence: the width, how much of it the model uses, and the Immich model of that width."""
    return f"{width} for the model's {dimensions} (Immich's {MODEL_NAMES.get(width, 'none that we know')}, ...)"


def advice(width: int, dimensions: int) -> str | None:
    """What to do so that the column has room for the model's vectors and for words. None where it has."""
    if width < dimensions:
        return f"{width}, but the CLIP model needs {dimensions}: {width_advice(dimensions)}"
    words = room(width, dimensions)
    if words >= _ROOMY:
        return None
    # `python -m bench lexical --quick`, R-precision: 0.85 with no room, 0.96 with 127, 0.998 with 255, 1.000 with 511.
    # In a library of 50,000 photos: 0.87 with no room, 0.999 with 511.
    misses = (
        "misses some photos of a large library"
        if words
        else "misses one photo in eight and other searches find none by their words"
    )
    left = (
        f"{known(width, dimensions)}: {words or 'no'} dimensions are left for words, so `ocr:` in Immich's search box "
        f"{misses}"
    )
    roomy = [wide for wide in MODEL_NAMES if room(wide, dimensions) >= _ROOMY]
    wider = roomy or [wide for wide in MODEL_NAMES if wide > width][-1:]
    if not wider:
        return f"{left}. Immich has no wider column: only a CLIP_MODEL with fewer dimensions leaves more"
    named = ", ".join(f"{MODEL_NAMES[wide]} ({wide})" for wide in wider)
    return (
        f"{left}. In Immich, choose {named} as CLIP model; Immich then empties its vectors, and a running indexer "
        "fills them again without reading any photo anew"
    )
