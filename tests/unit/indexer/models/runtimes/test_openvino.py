"""OpenVINO in the place of ONNX Runtime: the same answers; too little memory is an error, never an earlier answer."""

import json
import subprocess
import sys
import threading

import numpy as np

from indexer.models.ocr.names import model_files
from indexer.models.runtimes import openvino
from indexer.models.runtimes.onnx import open_session
from indexer.models.runtimes.openvino import OpenVinoSession

DETECTOR = model_files("rapidocr")[0]


def some(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * width).standard_normal((1, 3, height, width), dtype=np.float32)


def test_the_answers_are_onnx_runtimes_from_any_thread_in_any_shape():
    ours, theirs = OpenVinoSession(DETECTOR, callers=2), open_session(DETECTOR)
    assert [each.name for each in ours.get_inputs()] == [each.name for each in theirs.get_inputs()]
    assert [each.name for each in ours.get_outputs()] == [each.name for each in theirs.get_outputs()]
    different: list[float] = []

    def work(shapes: list[tuple[int, int]]) -> None:
        for shape in shapes:
            values = some(*shape)
            feed = {"x": values.transpose(0, 1, 3, 2)}  # not contiguous, as RapidOCR's pictures are
            (one,), (other,) = ours.run(None, feed), theirs.run(None, feed)
            different.append(float(np.abs(one - other).max()) if one.shape == other.shape else 1.0)

    shapes = [(64, 96), (96, 64), (160, 32), (64, 96), (32, 32)]
    threads = [threading.Thread(target=work, args=(shapes[start:],)) for start in range(3)]  # one more than callers
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(different) == 12
    assert max(different) < 1e-3, "bf16 differs by 0.03"


IN_LITTLE_MEMORY = """
import json, resource, sys
from pathlib import Path
import numpy as np
from indexer.models.engines.messages import lacks_memory
from indexer.models.runtimes.openvino import OpenVinoSession

session = OpenVinoSession(Path(sys.argv[1]), callers=1)
small, large = np.ones((1, 3, 64, 64), np.float32), np.ones((1, 3, 1024, 1024), np.float32)
(before,) = session.run(None, {"x": small})
taken = next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize")) << 10
resource.setrlimit(resource.RLIMIT_AS, (taken + (8 << 20), resource.RLIM_INFINITY))
try:
    session.run(None, {"x": large})
    failed = None
except Exception as error:
    failed = lacks_memory(error)
resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
(after,), (larger,) = session.run(None, {"x": small}), session.run(None, {"x": large})
print(json.dumps([failed, bool((before == after).all()), larger.shape]))
"""


def test_too_little_memory_is_an_error_and_no_earlier_answer():
    ended = subprocess.run(
        [sys.executable, "-c", IN_LITTLE_MEMORY, str(DETECTOR)], capture_output=True, text=True, check=True
    )
    assert json.loads(ended.stdout) == [True, True, [1, 1, 1024, 1024]]


def test_nothing_is_told_to_its_maker(tmp_path):
    told = tmp_path / "openvino_telemetry"
    told.mkdir()
    (told / "__init__.py").write_text("raise SystemExit('it is loaded, and tells of the import')")
    modules = "indexer.models.runtimes.openvino, openvino"
    script = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import {modules}"
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)


def test_bf16_needs_the_package_and_the_processor(monkeypatch, tmp_path):
    assert openvino.why_not_bf16() in ("", "this processor has no bf16")
    (tmp_path / "cpuinfo").write_text("flags\t\t: fpu avx512f avx512_vnni\n")
    assert openvino.why_not_bf16(tmp_path / "cpuinfo") == "this processor has no bf16"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "avx512_core_vnni")
    assert openvino.why_not_bf16() == "ONEDNN_MAX_CPU_ISA forbids it"
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_AMX")
    assert openvino.why_not_bf16(tmp_path / "cpuinfo") == "this processor has no bf16"
    monkeypatch.setattr(openvino, "is_installed", lambda: False)
    assert "pip install 'immich-indexer[openvino]'" in openvino.why_not_bf16()


def test_the_likeliest_of_each_step_alone():
    recogniser = model_files("rapidocr")[2]
    whole, best = (OpenVinoSession(recogniser, callers=1, best=only) for only in (False, True))
    line = some(48, 160)
    (output,), (found,) = whole.run(None, {"x": line}), best.run(None, {"x": line})
    np.testing.assert_array_equal(found.argmax(axis=2), output.argmax(axis=2))
    np.testing.assert_allclose(found.max(axis=2), output.max(axis=2), atol=1e-6)
