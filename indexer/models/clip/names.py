"""What the stored name of a CLIP model says about it, without the model itself."""

_DEMO = " (demo)"


def name_of(kind: str, label: str, sha256: str, *, demo: bool) -> str:
    """The identity of exactly these weights, as stored with their results.

    Args:
        kind: of model: `cn-clip`, `clip`.
        label: the model's name for people.
        sha256: of its file, or of the list of its files.
        demo: whether it is a model for the demo, not for a library of photographs.
    """
    return f"{kind} {label} {sha256[:12]}{_DEMO if demo else ''}"


def is_demo(name: str | None) -> bool:
    """Whether a model of that name is for the demo, not for a library of photographs."""
    return name is not None and name.endswith(_DEMO)


def advice(name: str | None) -> str | None:
    """What to do about a model of that name, in a sentence. None where it needs nothing."""
    if not is_demo(name):
        return None
    return (
        f"{name} is only for the demo and for tests and knows nothing of photographs: searches by what a photo shows "
        "find the wrong ones. Set CLIP_MODEL=ViT-B-16 and restart: its weights are then fetched, and the photos read "
        "again, by themselves"
    )
