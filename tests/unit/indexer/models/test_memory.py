"""What the models need, and the one line before they are loaded into less."""

import json
from pathlib import Path

import pytest

from indexer import limits
from indexer.cli import service
from indexer.errors import SettingsError
from indexer.models import memory
from indexer.settings import Settings
from indexer.work import worker

MB = 1 << 20
BOTH = ("image", "text")


@pytest.mark.parametrize(
    ("model", "tasks", "towers", "ocr", "least", "most"),
    [  # killed below the first, well above the second, both measured
        ("ViT-B-16", "clip,ocr", ("image",), True, 900, 1100),
        ("ViT-B-16", "clip,ocr", ("text",), False, 750, 850),
        ("ViT-B-16", "ocr", ("image",), True, 600, 720),
        ("ViT-L-14", "clip,ocr", ("image",), True, 1500, 3000),
    ],
)
def test_needs(model, tasks, towers, ocr, least, most):
    settings = Settings.load(clip_model=model, tasks=tasks)
    assert least * MB < memory.needed(settings, towers, ocr=ocr) < most * MB


@pytest.mark.parametrize("model", ["ViT-Z", "/not/here.pt"])
def test_of_an_unknown_model_it_says_nothing(model):
    """What is wrong with it is said by whoever loads it."""
    unknown, none = (Settings.load(clip_model=model, tasks=tasks) for tasks in ("clip,ocr", "ocr"))
    assert memory.needed(unknown, BOTH, ocr=True) == memory.needed(none, BOTH, ocr=True)


@pytest.mark.parametrize(("limit", "lines"), [(420 * MB, 1), (4000 * MB, 0), (None, 0)])
def test_one_line_before_the_models_are_loaded(monkeypatch, capsys, tmp_path: Path, limit, lines):
    def load(_: Settings) -> None:
        logged = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
        assert len(logged) == lines
        assert all("may use 420 MB of memory, and the models need some 700 MB" in line for line in logged)
        raise SettingsError("loaded")

    monkeypatch.setattr(limits, "read", lambda: limits.Limits(None, limit))
    monkeypatch.setattr(worker, "load_models", load)
    monkeypatch.setenv("DB_URL", "postgresql://127.0.0.1:1/immich")
    monkeypatch.setenv("TASKS", "ocr")
    monkeypatch.setenv("LOG_FORMAT", "json")
    with pytest.raises(SystemExit):
        service._serve()
    assert "error: loaded" in capsys.readouterr().err
