"""The GPUs that the driver reports, and whether the installed torch can compute on one of them."""

import ctypes
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

Version = tuple[int, int]


@dataclass(frozen=True)
class Card:
    """A GPU: its name, its compute capability, its memory in bytes."""

    name: str
    capability: Version
    memory: int


@dataclass(frozen=True)
class Build:
    """What torch was built for: CUDA's version (None: only the processor), and what its kernels run on."""

    name: str
    cuda: Version | None
    kernels: frozenset[str]  # sm_75: compiled. compute_90: a driver compiles it for newer cards


class Driver(Protocol):
    """What NVIDIA's driver reports."""

    def version(self) -> Version | None:
        """The newest CUDA that it supports. None where there is no driver."""

    def cards(self) -> list[Card]:
        """The GPUs that this process may use."""


class NvidiaDriver:
    """Asks the driver's own library. It needs no torch, and takes no memory of a GPU."""

    def version(self) -> Version | None:
        """The newest CUDA that it supports. None where there is no driver."""
        number = ctypes.c_int()
        with suppress(OSError, AttributeError):
            if not ctypes.CDLL("libcuda.so.1").cuDriverGetVersion(ctypes.byref(number)):
                return number.value // 1000, number.value % 1000 // 10
        return None

    def cards(self) -> list[Card]:
        """The GPUs that this process may use. Empty where the driver does not answer."""
        try:
            cuda = ctypes.CDLL("libcuda.so.1")
            count = ctypes.c_int()
            if cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count)):
                return []
            return [_card(cuda, number) for number in range(count.value)]
        except (OSError, AttributeError):
            return []


def _card(cuda: ctypes.CDLL, number: int) -> Card:
    device, name, memory = ctypes.c_int(), ctypes.create_string_buffer(100), ctypes.c_size_t()
    cuda.cuDeviceGet(ctypes.byref(device), number)
    cuda.cuDeviceGetName(name, len(name), device)
    cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    capability = []
    for attribute in (75, 76):  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, _MINOR
        value = ctypes.c_int()
        cuda.cuDeviceGetAttribute(ctypes.byref(value), attribute, device)
        capability.append(value.value)
    return Card(name.value.decode(errors="replace"), (capability[0], capability[1]), memory.value)


def torch_build() -> Build:
    """The build of the installed torch. Its import takes seconds."""
    import torch

    cuda = None
    if torch.version.cuda is not None:
        major, minor, *_ = torch.version.cuda.split(".")
        cuda = int(major), int(minor)
    flags = getattr(torch._C, "_cuda_getArchFlags", lambda: "")()  # torch.cuda.get_arch_list() needs a working GPU
    return Build(f"torch {torch.__version__}", cuda, frozenset((flags or "").split()))


def trouble(driver: Driver, build: Build, needs: int = 0) -> str:
    """Why `build` cannot compute on the first GPU, in a sentence that says what would help. Empty where it can.

    Args:
        driver: the machine's.
        build: of torch.
        needs: bytes of GPU memory that the models take.
    """
    serves, cards = driver.version(), driver.cards()
    if build.cuda is None:
        return f"{build.name} is a CPU-only build: use the image or the packages for CUDA"
    if serves is None:
        return f"{build.name} finds no driver: install NVIDIA's, and in a container give it the GPU"
    if not cards:
        return f"{build.name} finds no GPU: the driver shows none; in a container give it the GPU"
    card = cards[0]
    if serves[0] < build.cuda[0]:
        return (
            f"the driver for {card.name} serves CUDA up to {_dotted(serves)}, {build.name} needs {_dotted(build.cuda)}"
            ": update NVIDIA's driver"
        )
    if build.kernels and not any(_runs(kernel, card.capability) for kernel in build.kernels):
        oldest = min((_capability(kernel) for kernel in build.kernels), default=(0, 0))
        return (
            f"{card.name} has compute capability {_dotted(card.capability)}, {build.name} has kernels from "
            f"{_dotted(oldest)} on: use a newer card, or a build of torch for this one"
        )
    if card.memory < needs:
        return (
            f"{card.name} has {card.memory / 2**30:.1f} GB of memory, the models need {needs / 2**30:.1f}: "
            "use a smaller model (CLIP_MODEL)"
        )
    return ""


def _runs(kernel: str, capability: Version) -> bool:
    """Compiled kernels run on GPUs of their own generation, intermediate code on all that are not older."""
    built = _capability(kernel)
    if kernel.startswith("compute_"):
        return capability >= built
    return capability[0] == built[0] and capability >= built


def _capability(kernel: str) -> Version:
    digits = "".join(filter(str.isdigit, kernel))  # sm_90a
    return int(digits[:-1] or 0), int(digits[-1:] or 0)


def _dotted(version: Version) -> str:
    return f"{version[0]}.{version[1]}"
