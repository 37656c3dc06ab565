"""The demo, as a machine reads it, on a few pictures of a person's own."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from indexer.demo.drawn import NOTE, WEIGHTS
from indexer.demo.packages.cn_clip import write_package
from indexer.demo.pictures import draw_all, ground_truth
from indexer.demo.shapes import SEARCHES, draw_shapes


@pytest.mark.timeout(300)
def test_the_demo_finds_ones_own_pictures_by_what_they_say_and_show(tmp_path: Path):
    mine = tmp_path / "mine"
    drawn = draw_all(mine, every=10)
    shown = draw_shapes(mine)
    (mine / "gt.json").write_text(json.dumps(ground_truth(drawn)), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "indexer.cli", "demo", "--once", "--json", "--pictures", str(mine)],
        capture_output=True,
        env=os.environ | {"CLIP_DOWNLOAD_ROOT": str(tmp_path / "nothing")},
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    report = json.loads(done.stdout)  # nothing else on standard output
    photos = len(drawn) + len(shown)
    assert (report["photos"], report["indexed"], report["failed"]) == (photos, photos, 0)
    assert 0 < report["seconds_p50"] <= report["seconds_max"]
    assert report["ocr_line_accuracy"] > 0.9
    assert report["searches"]
    for search in report["searches"]:
        assert search["expected"], search
        assert set(search["expected"]) <= set(search["found"]), search
    assert report["clip_weights"] == NOTE
    assert NOTE in " ".join(done.stderr.decode().split())
    assert len(report["searches_by_meaning"]) == len(SEARCHES)
    for search in report["searches_by_meaning"]:
        assert search["found"][: len(search["expected"])] == search["expected"], search


@pytest.mark.timeout(300)
def test_a_lost_picture_is_an_error_and_a_package_finds_the_others_by_meaning(tmp_path: Path):
    mine, package = tmp_path / "mine", write_package(WEIGHTS, tmp_path / "package")
    shown = draw_shapes(mine)
    (mine / "torn.jpeg").write_bytes(b"\xff\xd8\xff\xe0 not a picture any more")
    done = subprocess.run(
        [sys.executable, "-m", "indexer.cli", "demo", "--once", "--json", "--pictures", str(mine)],
        capture_output=True,
        env=os.environ | {"MAX_ATTEMPTS": "1", "CLIP_MODEL": str(package)},
        check=False,
    )
    assert done.returncode == 1
    report = json.loads(done.stdout)
    assert (report["photos"], report["indexed"], report["failed"]) == (len(shown) + 1, len(shown), 1)
    assert "torn.jpeg" in done.stderr.decode()
    assert report["clip_weights"] == str(package)
    assert len(report["searches_by_meaning"]) == len(SEARCHES)
    for search in report["searches_by_meaning"]:
        assert search["found"][: len(search["expected"])] == search["expected"], search
