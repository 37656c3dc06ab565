"""The demo's pictures, and the score of what was read of them."""

from pathlib import Path

import pytest
from PIL import Image

from indexer.demo.pictures import Drawn, draw_all, ground_truth, score
from indexer.demo.scenes import SCENES


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Drawn]:
    return draw_all(tmp_path_factory.mktemp("pictures"), every=4)


def test_there_are_many_kinds():
    assert len(SCENES) >= 30
    assert len({scene.name for scene in SCENES}) == len(SCENES)
    assert {scene.category for scene in SCENES} == {
        "receipt", "sign", "chat", "table", "traditional", "english", "mixed", "turned", "handwriting", "card", "plain",
    }  # fmt: skip


def test_they_look_like_immichs_previews(drawn: list[Drawn]):
    formats = set()
    for picture in drawn:
        with Image.open(picture.path) as image:
            assert min(image.size) <= 1440, picture.name
            formats.add(image.format)
    assert formats == {"JPEG", "WEBP"}


def test_only_plain_ones_have_nothing_to_read(drawn: list[Drawn]):
    for picture in drawn:
        assert bool(picture.lines) is (picture.category != "plain"), picture.name
        assert all(line.strip() == line != "" for line in picture.lines)


def test_ground_truth_is_by_file(drawn: list[Drawn]):
    truth = ground_truth(drawn)
    assert set(truth) == {path.name for path in drawn[0].path.parent.iterdir()}
    assert "杭州西溪会展服务有限公司" in "".join(truth["receipt-invoice.jpeg"])


@pytest.mark.parametrize("index", [1, 10, 12])
def test_the_same_ones_each_time(drawn: list[Drawn], index: int, tmp_path: Path):
    again = tmp_path / drawn[index].path.name
    SCENES[4 * index].draw().image.save(again, quality=80)
    assert again.read_bytes() == drawn[index].path.read_bytes()


@pytest.mark.parametrize(
    ("expected", "found", "points"),
    [
        (["合计：88", "Total"], ["合计:88", "TOTAL"], (2, 2)),
        (["发票 NO.1"], ["发票NO．1"], (1, 1)),
        (["36", "36"], ["36"], (1, 2)),
        (["36"], ["36", "36", "37"], (1, 1)),
        (["包裹"], ["包裏"], (0, 1)),
        ([], ["o"], (0, 0)),
    ],
)
def test_score(expected: list[str], found: list[str], points: tuple[int, int]):
    assert score(expected, found) == points
