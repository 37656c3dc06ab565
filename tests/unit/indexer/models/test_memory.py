"""What the models need, and the one line before they are loaded into less."""

import json
import sys
from pathlib import Path

import pytest
import torch

from indexer import limits
from indexer.cli import service
from indexer.errors import SettingsError
from indexer.models import memory
from indexer.models.clip.cn_clip import maker as cn_clip
from indexer.models.clip.cn_clip import weights
from indexer.models.clip.cn_clip.checkpoint import configuration
from indexer.models.clip.cn_clip.imported import import_cn_clip
from indexer.settings import Settings
from indexer.work import worker

MB = 1 << 20


@pytest.mark.parametrize(
    ("model", "tasks", "towers", "ocr", "least", "most"),
    [
        ("ViT-B-16", "clip,ocr", ("image",), True, 1000, 1250),
        ("ViT-B-16", "clip,ocr", ("text",), False, 700, 850),
        ("ViT-B-16", "ocr", ("image",), True, 550, 720),
        ("ViT-L-14", "clip,ocr", ("image",), True, 1500, 3000),
    ],
)
def test_needs(model, tasks, towers, ocr, least, most):
    settings = Settings.load(clip_model=model, tasks=tasks)
    assert least * MB < memory.needed(settings, towers, ocr=ocr) < most * MB


@pytest.mark.parametrize("model", weights.FILES)
def test_the_numbers_of_the_published_models(model):
    import_cn_clip()
    from cn_clip.clip.model import CLIP

    with torch.device("meta"):  # nothing is allocated
        whole = CLIP(**configuration(model))
    halves = {"image": whole.visual, "text": whole.bert}
    counted = {tower: sum(parameter.numel() for parameter in half.parameters()) for tower, half in halves.items()}
    assert cn_clip.NUMBERS[model] == counted


@pytest.mark.parametrize(("limit", "lines"), [(420 * MB, 1), (4000 * MB, 0), (None, 0)])
def test_one_line_before_the_models_are_loaded(monkeypatch, capsys, tmp_path: Path, limit, lines):
    def load(*_: object) -> None:
        logged = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
        logged = [event for event in logged if "of memory" in event]
        assert len(logged) == lines
        assert all("may use 420 MB of memory, and the models need some 600 MB" in line for line in logged)
        raise SettingsError("loaded")

    monkeypatch.setattr(limits, "read", lambda: limits.Limits(None, limit))
    monkeypatch.setattr(worker, "load_models", load)
    monkeypatch.setenv("DB_URL", "postgresql://127.0.0.1:1/immich")
    monkeypatch.setenv("TASKS", "ocr")
    monkeypatch.setenv("LOG_FORMAT", "json")
    monkeypatch.setattr(worker, "leave", sys.exit)
    with pytest.raises(SystemExit):
        service.run.callback()
    assert "error: loaded" in capsys.readouterr().err


def test_openvino_takes_more():
    plain, more = (
        memory.needed(Settings.load(tasks="ocr", ocr_runtime=each), (), ocr=True) for each in ("auto", "openvino")
    )
    assert more - plain >= 250 * MB


@pytest.mark.parametrize(("limit", "room"), [(1000 * MB, False), (4000 * MB, True), (None, True)])
def test_room_for_a_second_model_while_one_is_changed(monkeypatch, limit, room):
    monkeypatch.setattr(limits, "read", lambda: limits.Limits(None, limit))
    assert memory.has_room(Settings.load(clip_model="RN50"), "ViT-B-16") is room
