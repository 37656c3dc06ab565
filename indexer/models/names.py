"""What the stored name of a CLIP model tells of it, where the model itself is not at hand."""

_DEMO = " (demo)"


def name_of(label: str, sha256: str, *, demo: bool) -> str:
    """The identity of these very weights, as it is stored with what they computed.

    Args:
        label: what people call the model.
        sha256: of its file.
        demo: whether it is no model for a library of photographs.
    """
    return f"cn-clip {label} {sha256[:12]}{_DEMO if demo else ''}"


def is_demo(name: str | None) -> bool:
    """Whether a model of that name is no model for a library of photographs."""
    return name is not None and name.endswith(_DEMO)


def advice(name: str | None) -> str | None:
    """What to do about a model of that name, in a sentence; None where it is well."""
    if not is_demo(name):
        return None
    return (
        f"{name} is only for the demo and for tests and knows nothing of photographs: searches by what a photo shows "
        "find the wrong ones. Set CLIP_MODEL=ViT-B-16 and restart: its weights are then fetched, and the photos read "
        "again, by themselves"
    )
