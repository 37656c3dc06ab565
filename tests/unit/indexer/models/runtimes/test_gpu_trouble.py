"""GPUs that can compute with a build of torch, and those that cannot, each with what would help. It takes none."""

import pytest

from indexer.errors import SettingsError
from indexer.models.runtimes import gpu
from indexer.models.runtimes.device import choose_device
from tests.support.stubs import CUDA_13, RTX_4090, StubDriver

GB = 1 << 30
CPU_ONLY = gpu.Build("torch 2.13.0+cpu", None, frozenset())
CUDA_12 = gpu.Build("torch 2.13.0+cu126", (12, 6), frozenset(["sm_50", "sm_60", "sm_70", "sm_75", "sm_80", "sm_90"]))


@pytest.mark.parametrize(
    ("card", "capability", "build", "can"),
    [
        ("GeForce GTX 980", (5, 2), CUDA_13, False),
        ("GeForce GTX 1080", (6, 1), CUDA_13, False),
        ("Tesla P40", (6, 1), CUDA_13, False),
        ("Tesla V100", (7, 0), CUDA_13, False),
        ("Tesla T4", (7, 5), CUDA_13, True),
        ("GeForce RTX 3090", (8, 6), CUDA_13, True),
        ("GeForce RTX 4090", (8, 9), CUDA_13, True),  # with the kernels of 8.6
        ("H200", (9, 0), CUDA_13, True),
        ("GeForce RTX 5090", (12, 0), CUDA_13, True),
        ("one that is not sold yet", (13, 0), CUDA_13, True),  # from the intermediate code
        ("GeForce GTX 1080", (6, 1), CUDA_12, True),
        ("GeForce RTX 5090", (12, 0), CUDA_12, False),
    ],
)
def test_cards_and_builds(card, capability, build, can):
    said = gpu.trouble(StubDriver((13, 0), [gpu.Card(card, capability, 8 * GB)]), build)
    assert (said == "") == can
    if not can:
        assert card in said
        assert "use a newer card, or a build of torch for this one" in said


@pytest.mark.parametrize(
    ("driver", "build", "said"),
    [
        (StubDriver((12, 2), [RTX_4090]), CUDA_13, "serves CUDA up to 12.2, torch 2.13.0+cu130 needs 13.0: update"),
        (StubDriver(None), CUDA_13, "finds no driver: install NVIDIA's"),
        (StubDriver((13, 0)), CUDA_13, "the driver shows none; in a container give it the GPU"),
        (StubDriver((13, 0), [RTX_4090]), CPU_ONLY, "is a CPU-only build: use the image or the packages for CUDA"),
        (StubDriver((12, 2), [RTX_4090]), CUDA_12, ""),  # a driver serves every minor version of its CUDA
    ],
)
def test_drivers(driver, build, said):
    found = gpu.trouble(driver, build)
    assert said in found
    assert (said == "") == (found == "")


def test_memory():
    driver = StubDriver((13, 0), [gpu.Card("GeForce MX450", (7, 5), 2 * GB)])
    assert gpu.trouble(driver, CUDA_13, needs=GB) == ""
    assert "GeForce MX450 has 2.0 GB of memory, the models need 3.0" in gpu.trouble(driver, CUDA_13, needs=3 * GB)


def test_which_device_is_chosen():
    old = StubDriver((13, 0), [gpu.Card("GeForce GTX 1080", (6, 1), 8 * GB)])
    assert choose_device("auto", driver=StubDriver((13, 0), [RTX_4090]), build=CUDA_13) == ("cuda", "")
    assert choose_device("auto", driver=StubDriver(None), build=CUDA_13) == ("cpu", "")
    assert choose_device("cpu", driver=old, build=CUDA_13) == ("cpu", "")
    device, note = choose_device("auto", driver=old, build=CUDA_13)
    assert device == "cpu"
    assert "GeForce GTX 1080" in note
    with pytest.raises(SettingsError, match=r"'cuda' was asked for, but GeForce GTX 1080 has compute capability 6.1"):
        choose_device("cuda", driver=old, build=CUDA_13)


def test_this_machine_can_be_asked():
    driver = gpu.NvidiaDriver()
    assert bool(driver.cards()) <= (driver.version() is not None)
    assert gpu.torch_build().name.startswith("torch ")
