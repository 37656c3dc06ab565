"""What is known of this machine's processor."""

import platform

import pytest

from indexer.models.runtimes import processor

ZEN_3 = "processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu sse2 avx avx2\n\nprocessor\t: 1\nmodel name\t: Other\n"
ZEN_5 = ZEN_3.replace("avx2", "avx2 avx512f avx512_vnni avx512_bf16")
ARM = "processor\t: 0\nBogoMIPS\t: 48.00\nFeatures\t: fp asimd asimddp i8mm bf16\n"


@pytest.fixture
def described(tmp_path, monkeypatch):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)

    def of(cpuinfo: str) -> str:
        (tmp_path / "cpuinfo").write_text(cpuinfo)
        return processor.described(tmp_path / "cpuinfo")

    return of


def test_processors_of_one_name_differ_by_their_instructions(described):
    assert described(ZEN_3) == "AMD EPYC avx avx2"
    assert described(ZEN_5) == "AMD EPYC avx avx2 avx512_bf16 avx512_vnni avx512f"


def test_one_without_a_name(described):
    assert described(ARM) == f"{platform.machine()} asimddp bf16 i8mm"


def test_what_onednn_is_forbidden_counts(described, monkeypatch):
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx512_core_vnni")
    assert described(ZEN_5).endswith("AVX512_CORE_VNNI")


def test_where_the_system_does_not_tell(tmp_path, monkeypatch):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    assert processor.flags(tmp_path / "none") is None
    assert processor.described(tmp_path / "none") == platform.machine()
