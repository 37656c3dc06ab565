"""Which processor the models run on."""

import os
from typing import Literal

import torch

from indexer.errors import SettingsError

Device = Literal["cpu", "cuda"]


def resolve_device(wanted: str) -> Device:
    """What `auto`, `cpu` or `cuda` means on this machine.

    Raises:
        SettingsError: the name is unknown, or `cuda` was asked for and torch finds no usable GPU.
    """
    if wanted not in ("auto", "cpu", "cuda"):
        raise SettingsError(f"unknown device {wanted!r}: use auto, cpu or cuda")
    if wanted == "cpu":
        return "cpu"
    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        build = "is a CPU-only build" if torch.version.cuda is None else "finds no GPU (driver or container setup)"
        raise SettingsError(f"device 'cuda' was asked for, but torch {torch.__version__} {build}; use auto or cpu")
    return "cpu"


def processors() -> int:
    """Processors this process may use: the affinity mask, not what the machine has."""
    return len(os.sched_getaffinity(0))


def has_bf16(device: Device = "cpu") -> bool:
    """Whether the processor multiplies bfloat16 in hardware; where it does not, bf16 is slower than fp32."""
    if device == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16"))
