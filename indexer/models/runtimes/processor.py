"""The processor of this machine: its name, and the instructions that decide how fast a network is."""

import os
from contextlib import suppress
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")

_DECIDING = {
    "avx", "avx2", "avx_vnni", "avx512f", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16",
    "asimddp", "i8mm", "bf16", "sve",
}  # fmt: skip
"""As Linux names them, the last line on arm64."""

_FLAGS = "flags", "Features"  # on x86-64, on arm64


def described(cpuinfo: Path = CPUINFO) -> str:
    """What was measured on a processor holds for those described alike.

    Not the name alone: a virtual machine may call all of them `AMD EPYC`. ONEDNN_MAX_CPU_ISA limits what is used.
    """
    name = _value(("model name",), cpuinfo) or os.uname().machine
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA", "").upper()
    return " ".join(filter(None, [name, *sorted(_DECIDING & (flags(cpuinfo) or frozenset())), limit]))


def flags(cpuinfo: Path = CPUINFO) -> frozenset[str] | None:
    """The instructions that it has. None where the system does not tell."""
    found = _value(_FLAGS, cpuinfo)
    return None if found is None else frozenset(found.split())


def _value(names: tuple[str, ...], cpuinfo: Path) -> str | None:
    """Of the first line with one of these names."""
    with suppress(OSError):
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() in names:
                return value.strip()
    return None
