"""The two halves of a Chinese-CLIP model as torch modules that turn a batch into vectors."""

from typing import Any, Literal

import torch
from torch import nn

from indexer.errors import WeightsError
from indexer.models.checkpoint import Checkpoint
from indexer.models.torchvision_compat import ensure_torchvision

Tower = Literal["image", "text"]
Number = Literal["fp32", "bf16", "fp16"]


class TextTower(nn.Module):
    """cn_clip's `CLIP.encode_text` without the image half."""

    def __init__(self, bert: nn.Module, projection: nn.Parameter) -> None:
        super().__init__()
        self.bert = bert
        self.text_projection = projection

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n, length) token numbers, 0 as padding, to (n, dimensions)."""
        mask = tokens.ne(0).to(self.text_projection.dtype)
        hidden = self.bert(tokens, attention_mask=mask)[0]
        return hidden[:, 0, :].to(self.text_projection.dtype) @ self.text_projection


def build_towers(
    checkpoint: Checkpoint, wanted: tuple[Tower, ...], number: Number, device: str
) -> dict[Tower, nn.Module]:
    """Load the wanted halves, without ever allocating the other or a random initialisation.

    The numbers are those of `cn_clip.clip.load_from_name`: matrix weights are rounded to fp16, as cn_clip does even
    where it computes in fp32, then widened. For bf16 they are kept as bf16 (autocast would cast them on every call),
    normalisations and embeddings stay fp32.

    Raises:
        WeightsError: the configuration is not one of cn_clip's, or does not fit the weights.
    """
    ensure_torchvision()
    from cn_clip.clip.model import CLIP, convert_weights

    try:
        with torch.device("meta"):
            model = CLIP(**checkpoint.config)
    except (TypeError, ValueError, KeyError, ZeroDivisionError) as error:
        raise WeightsError(f"the configuration of {checkpoint.path} is not one of cn_clip's: {error}") from error
    convert_weights(model)  # on the meta device this only sets the types that say what cn_clip keeps in fp16
    tensors = checkpoint.tensors()
    towers: dict[Tower, nn.Module] = {}
    if "image" in wanted:
        towers["image"] = model.visual
        _fill(towers["image"], "visual.", tensors, number, device, checkpoint)
    if "text" in wanted:
        towers["text"] = TextTower(model.bert, model.text_projection)
        _fill(towers["text"], "", tensors, number, device, checkpoint)
    return towers


def _fill(
    tower: nn.Module, prefix: str, tensors: dict[str, torch.Tensor], number: Number, device: str, checkpoint: Checkpoint
) -> None:
    matrices = {
        id(p) for m in tower.modules() if not isinstance(m, nn.Embedding | nn.LayerNorm) for p in m.parameters(False)
    }
    state: dict[str, Any] = {}
    for name, empty in tower.state_dict(keep_vars=True).items():
        stored = tensors.get(prefix + name)
        if stored is None or stored.shape != empty.shape:
            found = "is missing" if stored is None else f"is {tuple(stored.shape)} instead of {tuple(empty.shape)}"
            raise WeightsError(f"{checkpoint.path} does not fit its configuration: {prefix + name} {found}")
        rounded = stored.to(empty.dtype)  # fp16 where cn_clip rounds to it
        if number == "fp16" or not rounded.is_floating_point():
            final = rounded.dtype
        elif number == "bf16" and empty.dtype == torch.float16 and id(empty) in matrices:
            final = torch.bfloat16
        else:
            final = torch.float32
        value = rounded.to(device=device, dtype=final)
        # A tensor of the right type already would still be the mapped file: read it now, once, not in the first batch.
        value = value.clone() if value.data_ptr() == stored.data_ptr() else value
        state[name] = nn.Parameter(value, requires_grad=False) if isinstance(empty, nn.Parameter) else value
    tower.load_state_dict(state, assign=True)
    tower.eval()
