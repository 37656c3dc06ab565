"""The two halves (towers) of a Chinese-CLIP model, as torch modules that turn a batch into vectors."""

import platform
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from indexer.errors import WeightsError
from indexer.models.clip.cn_clip.checkpoint import Checkpoint
from indexer.models.clip.cn_clip.imported import import_cn_clip
from indexer.models.clip.maker import Tower

# What cn_clip fills new parameters with: random numbers, multiplied.
_SET = ("normal_", "uniform_", "trunc_normal_", "kaiming_uniform_", "xavier_uniform_", "mul")


class _Unset(TorchFunctionMode):
    """Leaves out random numbers: new parameters have any value.

    On the device `meta` torch would import its compiler for them, which takes 80 MB and a second.
    """

    def __torch_function__(
        self, function: Callable[..., Any], _types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        named = {**(kwargs or {})}
        match getattr(function, "__name__", ""):
            case "randn":
                return torch.empty(*args, **named)
            case name if name in _SET:
                return next(value for value in (*args, *named.values()) if isinstance(value, torch.Tensor))
        return function(*args, **named)


class TextTower(nn.Module):
    """cn_clip's `CLIP.encode_text` without the image half."""

    def __init__(self, bert: nn.Module, projection: nn.Parameter) -> None:
        super().__init__()
        self.bert = bert
        self.text_projection = projection

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """(n, length) token numbers, 0 as padding, to (n, dimensions)."""
        mask = tokens.ne(0).to(self.text_projection.dtype)
        hidden: torch.Tensor = self.bert(tokens, attention_mask=mask)[0]
        return hidden[:, 0, :].to(self.text_projection.dtype) @ self.text_projection


def load_tower(tower: Tower, checkpoint: Checkpoint, device: str) -> nn.Module:
    """Load one half. Neither the other half nor a random initialisation is ever allocated.

    The numbers are those of `cn_clip.clip.load_from_name`. It rounds matrices to fp16 even where it then computes in
    fp32, so they are fp16 here. As they are, a GPU computes with them; `widen`, `narrow` and `in_fp32` are for others.

    Raises:
        WeightsError: the configuration is not one of cn_clip's, or does not fit the weights.
    """
    import_cn_clip()
    from cn_clip.clip.model import CLIP, convert_weights

    try:
        with torch.device("meta"), _Unset():
            model = CLIP(**checkpoint.config)
    except (TypeError, ValueError, KeyError, ZeroDivisionError) as error:
        raise WeightsError(f"the configuration of {checkpoint.path} is not one of cn_clip's: {error}") from error
    convert_weights(model)  # the model has no memory yet: this only marks what cn_clip rounds to fp16
    module: nn.Module
    module, prefix = (
        (model.visual, "visual.") if tower == "image" else (TextTower(model.bert, model.text_projection), "")
    )

    stored = checkpoint.tensors()
    state: dict[str, torch.Tensor] = {}
    for name, empty in module.state_dict(keep_vars=True).items():
        value = stored.get(prefix + name)
        if value is None or value.shape != empty.shape:
            found = "is missing" if value is None else f"is {tuple(value.shape)} instead of {tuple(empty.shape)}"
            raise WeightsError(f"{checkpoint.path} does not fit its configuration: {prefix + name} {found}")
        # A copy, not the mapped file: that would be read page by page in the first batches, and could be replaced.
        owned = value.to(device, empty.dtype, copy=True)
        state[name] = nn.Parameter(owned, requires_grad=False) if isinstance(empty, nn.Parameter) else owned
        stored.release(prefix + name)
    module.load_state_dict(state, assign=True)
    return module.eval()


class PackedLinear(nn.Module):
    """A linear layer in fp32 whose matrix is stored in oneDNN's own order.

    For a text of a dozen tokens nearly all work is reading the matrices, and torch reorders each one for every call.
    Equal to `nn.Linear`, except for rounding.
    """

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.bias = linear.bias
        self._matrix = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach().float(), None)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """(..., in) to (..., out)."""
        product: torch.Tensor = torch.ops.mkldnn._linear_pointwise(rows, self._matrix, self.bias, "none", [], "")
        return product


def pack(module: nn.Module) -> None:
    """Store matrices of linear layers in fp32 and oneDNN's order, in place, on processors where torch uses oneDNN."""
    available: bool = torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    if not available or platform.machine() not in ("x86_64", "AMD64"):
        return
    for name, part in module.named_children():
        if type(part) is nn.Linear:  # not its subclasses: other code may read their matrices
            setattr(module, name, PackedLinear(part))
        else:
            pack(part)


def narrow(module: nn.Module, dtype: torch.dtype) -> None:
    """Store the matrices in a narrower format than fp32, in place, for autocast, and all else in fp32.

    autocast would convert them so for every batch. The results are the same, but half the memory and the time of the
    conversion are saved. Embeddings and normalisations stay fp32, as with autocast.
    """
    for part in module.modules():
        stays = isinstance(part, nn.Embedding | nn.LayerNorm | nn.BatchNorm2d) or type(part).__name__.endswith(
            "LayerNorm"
        )
        for parameter in part.parameters(recurse=False):
            parameter.data = parameter.data.to(torch.float32 if stays or parameter.ndim < 2 else dtype)


def widen(parameters: Iterable[nn.Parameter]) -> None:
    """Store them in fp32, in place."""
    for parameter in parameters:
        parameter.data = parameter.data.float()


@contextmanager
def in_fp32(module: nn.Module) -> Iterator[None]:
    """Have a tower as `load_tower` makes it compute in fp32. A block takes memory for that only while it is at work."""
    stored: dict[nn.Parameter, torch.Tensor] = {}

    def widen_block(block: nn.Module, *_: object) -> None:
        for parameter in block.parameters():
            if parameter.dtype == torch.float16:
                stored[parameter] = parameter.data
                parameter.data = parameter.data.float()

    def restore(block: nn.Module, *_: object) -> None:
        for parameter in block.parameters():
            if parameter in stored:
                parameter.data = stored.pop(parameter)

    parts = [part for part in module.modules() if isinstance(part, nn.ModuleList | nn.Sequential)]
    blocks = [block for part in parts for block in part.children()]
    hooks = [block.register_forward_pre_hook(widen_block) for block in blocks]
    hooks += [block.register_forward_hook(restore) for block in blocks]
    inside = {parameter for block in blocks for parameter in block.parameters()}
    widen(parameter for parameter in module.parameters() if parameter not in inside)
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
