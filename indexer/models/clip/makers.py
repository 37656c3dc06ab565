"""The kinds of CLIP models: another kind is a module with a `Maker`, and a line here."""

from indexer.errors import WeightsError
from indexer.models.clip.cn_clip import weights
from indexer.models.clip.cn_clip.maker import CnClip
from indexer.models.clip.maker import Maker
from indexer.models.clip.package.maker import Packages

MAKERS: list[Maker] = [CnClip(), Packages()]
"""The first that makes a model is asked."""


def maker_of(model: str) -> Maker:
    """What makes the towers of `model`, the value of CLIP_MODEL.

    Raises:
        WeightsError: it is no model that we know.
    """
    for maker in MAKERS:
        if maker.makes(model):
            return maker
    raise WeightsError(
        f"unknown CLIP model {model!r}: use one of {', '.join(weights.FILES)}; or a model by Immich's name for "
        "it, or by OWNER/NAME of Hugging Face; or a path: of a .pt file, or of a folder in Immich's layout"
    )
