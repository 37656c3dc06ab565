"""What is written is read, whichever way the page lies, and boxes are where the text is."""

import importlib.util
import logging
import random
import socket
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pylopdf_fonts_zh_cn
import pytest
from PIL import Image, ImageDraw, ImageFont

from bench.reading_pictures import samples
from indexer.demo.pictures import draw_all, folded
from indexer.errors import WeightsError
from indexer.images import Picture, decode
from indexer.models.ocr import engines as ocr_engines
from indexer.models.ocr.crops import cut, from_top_left, pieces
from indexer.models.ocr.engines import open_engine
from indexer.models.ocr.names import OcrSettings
from indexer.models.ocr.ocr import Ocr, load_ocr
from indexer.models.results import Detection, Line
from indexer.models.runtimes import onnx, openvino

FONT = Path(pylopdf_fonts_zh_cn.__file__).parent / "NotoSansSC-Regular.otf"

PHRASES = [
    "今天天气很好我们去公园散步",
    "发票抬头北京科技有限公司",
    "会议纪要项目进度",
    "请旅客提前进站检票",
    "身份证住址浙江省杭州市",
    "红烧牛肉面",
    "合计128.50元",
    "开票日期2025年8月17日",
    "Invoice-No.20250817",
    "电话13800138000",
    "到期时间",
    "上海虹桥",
]


def page(
    seed: int, width: int = 1440, height: int = 1080, size: tuple[int, int] = (30, 48)
) -> tuple[Image.Image, dict]:
    """A page and where each of its texts is: {text: (left, top, right, bottom) in pixels}."""
    choose = random.Random(seed)
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    truth, top = {}, 50
    for text in choose.sample(PHRASES, len(PHRASES)):
        font = ImageFont.truetype(FONT, choose.randint(*size))
        left = choose.randint(40, width // 4)
        box = draw.textbbox((left, top), text, font=font)
        if box[3] > height - 40:
            break
        draw.text((left, top), text, font=font, fill=(20, 20, 60))
        truth[text] = box
        top += int(font.size * choose.uniform(1.8, 2.4))
    return image, truth


def picture(image: Image.Image) -> Picture:
    return Picture(np.asarray(image.convert("RGB")))


def plain(text: str) -> str:
    return "".join(text.split())


@pytest.fixture(scope="module", params=["rapidocr", "rapidocr-onnxruntime"])
def ocr(request) -> Ocr:
    return load_ocr(request.param)


@pytest.fixture(scope="module")
def default() -> Ocr:
    return load_ocr()


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_pages_lying_any_way(ocr, quarters):
    found = expected = 0
    for seed in range(2):
        image, truth = page(seed)
        lines = ocr.read([picture(image.rotate(90 * quarters, expand=True))])[0]
        texts = {plain(line.text) for line in lines}
        found += len(texts & {plain(text) for text in truth})
        expected += len(truth)
        assert len(lines) <= len(truth) + 1
    assert found / expected >= (0.95 if quarters == 0 else 0.85)


def test_upright_pages_exactly(default):
    found = expected = 0
    for seed in range(10, 15):
        image, truth = page(seed, size=(18, 40))
        texts = {plain(line.text) for line in default.read([picture(image)])[0]}
        found += len(texts & {plain(text) for text in truth})
        expected += len(truth)
    assert found / expected >= 0.98


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_short_lines_and_digits(default, quarters):
    image = Image.new("RGB", (1200, 600), "white")
    words = ["66", "公司", "209", "元", "14", "海鲜", "99", "到期时间是明天", "十二点之前完成"]
    for number, word in enumerate(words):
        place = (80 + number % 3 * 380, 80 + number // 3 * 160)
        ImageDraw.Draw(image).text(place, word, font=ImageFont.truetype(FONT, 40), fill="black")
    lines = default.read([picture(image.rotate(90 * quarters, expand=True))])[0]
    assert sorted(line.text for line in lines) == sorted(words)


@pytest.mark.parametrize("text", ["66", "909", "6:09", "6090"])
def test_a_lone_number_is_not_turned_over(ocr, text):
    image = Image.new("RGB", (1440, 1080), (235, 232, 225))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((380, 360, 1100, 720), 30, fill=(30, 80, 60))
    draw.text((480, 460), text, font=ImageFont.truetype(FONT, 130), fill="white")
    assert [line.text for line in ocr.read([picture(image)])[0]] == [text]


@pytest.mark.parametrize("text", ["1", "2"])
def test_a_lone_narrow_character_is_not_laid_down(ocr, text):
    image = Image.new("RGB", (900, 700), (30, 80, 60))
    ImageDraw.Draw(image).text((380, 240), text, font=ImageFont.truetype(FONT, 150), fill="white")
    assert [line.text for line in ocr.read([picture(image)])[0]] == [text]


@pytest.mark.parametrize(("size", "left", "top"), [(90, 371, 784), (49, 436, 251), (40, 619, 664)])
def test_a_lone_character_is_read_where_only_its_plate_is_found(default, size, left, top):
    image = Image.new("RGB", (1440, 1080), (180, 190, 170))
    draw, font = ImageDraw.Draw(image), ImageFont.truetype(FONT, size)
    right, middle = left + font.getlength("1") + size, top + size
    draw.rounded_rectangle((left, top, right, top + 2 * size), 20, fill=(250, 250, 250))
    draw.text((left + size / 2, middle), "1", font=font, fill="black", anchor="lm")
    assert [line.text for line in default.read([picture(image)])[0]] == ["1"]


def test_a_lone_word_on_its_head_is_turned(ocr):
    image = Image.new("RGB", (900, 500), "white")
    ImageDraw.Draw(image).text((200, 150), "牛肉面", font=ImageFont.truetype(FONT, 120), fill="black")
    assert [line.text for line in ocr.read([picture(image.rotate(180))])[0]] == ["牛肉面"]


class Scripted:
    """An engine that says of each crop, by its colour, whether it stands on its head and what it reads in it."""

    name = "scripted"
    alphabet = None

    alphabet = None

    def __init__(self, heads: dict[int, float], texts: dict[tuple[int, bool], tuple[str, float]]) -> None:
        self.heads, self.texts_of = heads, texts

    def crop(self, picture: np.ndarray, box: np.ndarray) -> np.ndarray:
        (left, top), (right, bottom) = box[0].astype(int), box[2].astype(int)
        return picture[top:bottom, left:right]

    def reading_order(self, boxes: np.ndarray) -> np.ndarray:
        return boxes

    def upside_down(self, crops: list[np.ndarray]) -> np.ndarray:
        return np.array([self.heads[int(crop[0, 0, 0])] for crop in crops])

    def texts(self, crops: list[np.ndarray]) -> list[tuple[str, float]]:
        # the mark at a crop's right end is at its left one where it was turned
        return [self.texts_of[int(crop[0, 5, 0]), bool(crop[0, 0, 2])] for crop in crops]


def test_upright_is_the_default_that_is_outweighed():
    """Each line's direction: what the classifier says, how it reads both ways, and what else is on the page."""

    def read(*lines: tuple[float, float, float]) -> str:
        """For each line: certainty that it is on its head, score upright, score turned; to u or t of each."""
        rgb = np.zeros((40 * len(lines), 100, 3), dtype=np.uint8)
        heads, texts, boxes = {}, {}, []
        for number, (head, upright, turned) in enumerate(lines, 1):
            top = 40 * (number - 1)
            rgb[top : top + 40, :, 2] = number  # in RGB: blue, the first of BGR
            rgb[top : top + 40, 96:, 0] = 255
            heads[number] = head
            texts[number, False], texts[number, True] = ("u", upright), ("t", turned)
            boxes.append(np.float32([[0, top], [100, top], [100, top + 40], [0, top + 40]]))
        engine = Scripted(heads, texts)
        ocr = Ocr(engine, min_box_score=0.5, min_text_score=0.8, detect_side=960)
        places = tuple((0.0, 0.0, 1.0, 0.0, 1.0, 1.0, 0.0, 1.0) for _ in boxes)
        detection = Detection(places, (1.0,) * len(boxes), tuple(cut(engine, rgb, boxes)), (100, len(rgb)))
        return "".join(line.text for line in ocr.recognise([detection])[0])

    assert read((0.6, 1.0, 1.0)) == read((0.9999, 1.0, 1.0)) == "u"  # a number that is one both ways
    assert read((0.6, 0.5, 1.0)) == read((0.9999, 0.85, 1.0)) == "t"  # only upside down it is a text
    assert read((0.2, 0.5, 1.0)) == "t"  # the classifier in doubt, the reader not
    assert read((0.0, 1.0, 1.0), (0.0, 1.0, 1.0), (0.7, 1.0, 1.0)) == "uuu"
    assert read(*3 * [(0.9999, 0.3, 1.0)], (0.4, 1.0, 1.0)) == "tttt"  # a number on a page that lies on its head


def test_text_written_downwards(default):
    """Columns are read from right to left."""
    image = Image.new("RGB", (900, 900), "white")
    columns = ["海鲜大酒楼", "春风送暖入屠苏", "公园入口"]
    for number, column in enumerate(columns):
        for row, character in enumerate(column):
            place = (640 - number * 260, 60 + row * 70)
            ImageDraw.Draw(image).text(place, character, font=ImageFont.truetype(FONT, 60), fill="black")
    assert [line.text for line in default.read([picture(image)])[0]] == columns


@pytest.mark.parametrize("degrees", [-14, -8, 8, 14])
def test_a_leaning_column_is_read_and_its_corners_begin_at_its_top_left(default, degrees):
    image = Image.new("RGB", (900, 900), "white")
    for row, character in enumerate("春风送暖入屠苏"):
        ImageDraw.Draw(image).text((420, 180 + row * 70), character, font=ImageFont.truetype(FONT, 60), fill="black")
    (line,) = default.read([picture(image.rotate(degrees, fillcolor="white"))])[0]
    assert line.text == "春风送暖入屠苏"
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    turn = np.array([[cosine, -sine], [sine, cosine]])  # of rows (x, y), y downwards, counter-clockwise
    expected = (np.array([(420, 195), (480, 195), (480, 680), (420, 680)]) - 450) @ turn + 450
    np.testing.assert_allclose(np.array(line.corners).reshape(4, 2) * 900, expected, atol=30)


@pytest.mark.parametrize("degrees", range(-40, 41, 10))
@pytest.mark.parametrize("shape", [(200, 20), (20, 200), (60, 50)])
def test_corners_from_the_top_left_whatever_corner_an_engine_begins_with(degrees, shape):
    wide, high = shape
    sine, cosine = np.sin(np.radians(degrees)), np.cos(np.radians(degrees))
    box = np.array([(0, 0), (wide, 0), (wide, high), (0, high)]) @ np.array([[cosine, sine], [-sine, cosine]]) + 300
    for first in range(4):
        np.testing.assert_allclose(from_top_left(np.roll(box, first, axis=0)), box)


def test_a_line_too_long_to_be_read_at_once_is_read_in_pieces(default):
    text = "第" + "今天天气很好我们去公园散步" * 8 + "fresh noodles and dumplings every day " * 3 + "完"
    font = ImageFont.truetype(FONT, 40)
    image = Image.new("RGB", (int(font.getlength(text)) + 60, 60), "white")
    ImageDraw.Draw(image).text((20, 4), text, font=font, fill="black")
    cuts = pieces(np.asarray(image))
    assert len(cuts) > 1
    assert max(cut.shape[1] for cut in cuts) <= 64 * 60
    assert sum(cut.shape[1] for cut in cuts) == image.width
    # "第" and "完" stand at its ends: none of it may be missing
    (line,) = default.read([picture(image)])[0]
    assert plain(line.text) == plain(text)
    assert line.text.count(" ") >= text.count(" ") - 4


def test_sides_and_lines_longer_than_opencv_can_turn(default):
    tall = Image.new("RGB", (160, 33_000), "white")
    for number in range(5):
        ImageDraw.Draw(tall).text((20, 100 + number * 8000), f"第{number}条", font=ImageFont.truetype(FONT, 44), fill=0)
    wide = Image.new("RGB", (33_000, 160), "white")
    for number in range(5):
        ImageDraw.Draw(wide).text((100 + number * 8000, 50), f"第{number}条", font=ImageFont.truetype(FONT, 44), fill=0)
    expected = [f"第{number}条" for number in range(5)]
    assert [[line.text for line in lines] for lines in default.read([picture(tall), picture(wide)])] == [expected] * 2
    engine = open_engine("rapidocr", device="cpu", threads=1)
    strip = np.zeros((80, 40_000, 3), dtype=np.uint8)
    strip[:, 20_000:] = 200
    (crop,) = cut(engine, strip, [np.float32([[0, 0], [39_999, 0], [39_999, 79], [0, 79]])])
    height, width = crop.pixels.shape[:2]
    assert width <= 32_000
    assert width / height == pytest.approx(500, rel=0.05)
    assert crop.pixels[5, width // 4].max() == 0
    assert crop.pixels[5, width * 3 // 4].min() == 200


def overlap(line: Line, box: tuple[float, ...], image: Image.Image) -> float:
    """Intersection over union of the line's bounding box and `box`."""
    xs, ys = np.array(line.corners[0::2]) * image.width, np.array(line.corners[1::2]) * image.height
    left, top, right, bottom = (
        max(xs.min(), box[0]),
        max(ys.min(), box[1]),
        min(xs.max(), box[2]),
        min(ys.max(), box[3]),
    )
    shared = max(0, right - left) * max(0, bottom - top)
    return shared / (np.ptp(xs) * np.ptp(ys) + (box[2] - box[0]) * (box[3] - box[1]) - shared)


def rotated(box: tuple[float, ...], quarters: int, width: int, height: int) -> tuple[float, ...]:
    for _ in range(quarters):
        left, top, right, bottom = box
        box = (top, width - right, bottom, width - left)
        width, height = height, width
    return box


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_corners_lie_on_the_text_clockwise_from_the_top_left(ocr, quarters):
    original, truth = page(4)
    image = original.rotate(90 * quarters, expand=True)
    lines = {plain(line.text): line for line in ocr.read([picture(image)])[0]}
    checked = 0
    for text, box in truth.items():
        line = lines.get(plain(text))
        if line is None:
            continue
        checked += 1
        assert overlap(line, rotated(box, quarters, *original.size), image) > 0.4
        x1, y1, x2, y2, x3, y3, x4, y4 = line.corners
        assert x1 < x2
        assert x4 < x3
        assert y1 < y4
        assert y2 < y3
    assert checked >= 0.8 * len(truth)


def test_corners_and_scores_are_plain_numbers_between_0_and_1(ocr):
    # Text that runs over every edge, so that its boxes do.
    image = Image.new("RGB", (400, 100), "white")
    ImageDraw.Draw(image).text(
        (-30, -10), "发票抬头北京科技有限公司发票抬头", font=ImageFont.truetype(FONT, 80), fill="black"
    )
    for line in ocr.read([picture(image)])[0]:
        numbers = [*line.corners, line.box_score, line.text_score]
        assert all(type(number) is float and 0 <= number <= 1 for number in numbers)


def test_box_scores_belong_to_their_boxes(default):
    """The reading order must not part a score from its box: alone or among others, a text scores the same."""
    image, _ = page(5)
    detection = default.detect(picture(image))
    boxes, scores = open_engine("rapidocr", device="cpu", threads=1).boxes(
        np.ascontiguousarray(np.asarray(image.resize((960, 704)))[:, :, ::-1]), (image.height, image.width)
    )
    by_top = dict(zip(boxes[:, 0, 1].tolist(), scores.tolist(), strict=True))
    for corners, score in zip(detection.corners, detection.box_scores, strict=True):
        nearest = min(by_top, key=lambda top: abs(top - corners[1] * image.height))
        assert score == pytest.approx(by_top[nearest], abs=0.05)


@pytest.mark.parametrize("quarters", [0, 1, 2, 3])
def test_lines_come_in_the_order_in_which_the_page_is_read(ocr, quarters):
    image, truth = page(6)
    lines = ocr.read([picture(image.rotate(90 * quarters, expand=True))])[0]
    if quarters == 0:
        assert all(above.corners[1] <= below.corners[1] + 0.02 for above, below in pairwise(lines))
    read = [plain(line.text) for line in lines]
    assert len(set(read) & set(map(plain, truth))) >= 8
    assert [text for text in map(plain, truth) if text in read] == [text for text in read if text in map(plain, truth)]


def test_cells_of_a_page_on_its_head_are_read_from_left_to_right(default):
    image = Image.new("RGB", (1200, 600), "white")
    words = ["会议纪要", "项目进度", "红烧牛肉", "身份证住址", "到期时间", "上海虹桥"]
    for number, word in enumerate(words):
        place = (80 + number % 3 * 380, 80 + number // 3 * 200)
        ImageDraw.Draw(image).text(place, word, font=ImageFont.truetype(FONT, 40), fill="black")
    assert [line.text for line in default.read([picture(image.rotate(180))])[0]] == words


def test_pictures_without_text_in_any_size(ocr):
    shapes = [(1, 1), (1, 2000), (2000, 1), (20, 1500), (64, 64), (31, 33)]
    pictures = [Picture(np.full((*shape, 3), 200, dtype=np.uint8)) for shape in shapes]
    assert ocr.read(pictures) == [[] for _ in shapes]
    assert ocr.read([]) == []


def test_each_picture_gets_its_own_lines(ocr):
    pages = [page(seed) for seed in (7, 8)]
    blank = Picture(np.full((300, 300, 3), 255, dtype=np.uint8))
    pictures = [picture(pages[0][0]), blank, picture(pages[1][0])]
    together = ocr.read(pictures)
    assert [[line.text for line in lines] for lines in together] == [
        [line.text for line in ocr.read([each])[0]] for each in pictures
    ]
    assert together[1] == []


def usual(**changes: Any) -> Ocr:
    """The usual engine with some of its steps replaced."""
    engine = replace(open_engine("rapidocr", device="cpu", threads=1), **changes)
    return Ocr(engine, min_box_score=0.5, min_text_score=0.8, detect_side=960)


def test_long_pictures_keep_their_small_text(default):
    image = Image.new("RGB", (1000, 5000), "white")
    for number in range(12):
        ImageDraw.Draw(image).text(
            (60, 100 + number * 400), f"聊天记录第{number}条", font=ImageFont.truetype(FONT, 34), fill=0
        )
    assert len(default.read([picture(image)])[0]) == 12


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (1920, 1440, (960, 704)),
        (1440, 1920, (704, 960)),
        (400, 300, (384, 288)),
        (1000, 5000, (640, 3200)),
        (1000, 90_000, (160, 14_400)),
        (1, 1, (32, 32)),
    ],
)
def test_detection_size(width, height, expected):
    seen = []

    def boxes(copy, size):
        seen.append((copy.shape[1], copy.shape[0]))
        return np.empty((0, 4, 2), np.float32), np.empty(0, np.float32)

    usual(boxes=boxes).detect(Picture(np.zeros((height, width, 3), np.uint8)))
    assert seen == [expected]


def test_thresholds_drop_boxes_and_lines():
    image, _ = page(9)
    assert load_ocr(min_text_score=1.01).read([picture(image)]) == [[]]
    assert load_ocr(min_box_score=1.01).detect(picture(image)).crops == ()


def test_empty_lines_are_dropped_and_what_cannot_be_written():
    texts = ["\x00 ", "  ", "好\x00的", " a\x00b\x1f\ud800\x7f\x85c \n", "发票 ①😀"]
    ocr = usual(texts=lambda crops: [(text, 0.99) for text in texts])
    detection = ocr.detect(picture(page(9)[0]))
    five = Detection(detection.corners[:5], detection.box_scores[:5], detection.crops[:5], detection.size)
    assert [line.text for line in ocr.recognise([five])[0]] == ["好的", "abc", "发票 ①😀"]


def test_a_lone_character_has_to_be_surer():
    scripted = [("8", 0.85), ("88", 0.85), ("8", 0.9), ("口", 0.87)]
    ocr = usual(texts=lambda crops: scripted[: len(crops)])
    detection = ocr.detect(picture(page(9)[0]))
    four = Detection(detection.corners[:4], detection.box_scores[:4], detection.crops[:4], detection.size)
    assert [(line.text, line.text_score) for line in ocr.recognise([four])[0]] == [("88", 0.85), ("8", 0.9)]


@pytest.mark.parametrize(
    ("texts", "kept"),
    [(["口"], []), (["□", "日"], []), (["口", "出口"], ["口", "出口"]), (["口口"], ["口口"]), (["中"], ["中"])],
)
def test_frames_alone_are_no_text(texts, kept):
    ocr = usual(texts=lambda crops: [(text, 0.99) for text in texts])
    detection = ocr.detect(picture(page(9)[0]))
    count = len(texts)
    some = Detection(detection.corners[:count], detection.box_scores[:count], detection.crops[:count], detection.size)
    assert [line.text for line in ocr.recognise([some])[0]] == kept


def test_drawn_frames(default):
    """With these squares the engine alone reads six."""
    for drawn in samples("squares", 12, seed=7):
        assert default.read([decode(drawn.data, max_pixels=64_000_000)]) == [[]]


def test_from_several_threads_at_once(ocr):
    pictures = [picture(page(20)[0])]
    expected = ocr.read(pictures)
    results = {}

    def work(number: int) -> None:
        results[number] = ocr.read(pictures)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(result == expected for result in results.values())


def test_name_says_what_decides_the_result(default):
    assert default.name.startswith("rapidocr 3.")
    assert "PP-OCRv6_det_small:" in default.name
    assert load_ocr(detect_side=736).name != default.name
    assert load_ocr(min_text_score=0.7).name != default.name
    assert "PP-OCRv4_rec" in load_ocr("rapidocr-onnxruntime").name
    assert load_ocr().name == default.name


def test_loading_and_reading_is_silent_and_offline(capfd, monkeypatch):
    def refuse(*_: object) -> None:
        raise AssertionError("network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    for engine in ("rapidocr", "rapidocr-onnxruntime"):
        load_ocr(engine).read([picture(page(0)[0]), Picture(np.zeros((50, 50, 3), dtype=np.uint8))])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("engine", ["rapidocr", "rapidocr-onnxruntime"])
@pytest.mark.parametrize("runtime", ["openvino", "torch"])
@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.soak), 17])
def test_all_runtimes_read_the_same(tmp_path, engine, runtime, every):
    ours, theirs = load_ocr(engine), load_ocr(engine, runtime=runtime, precision="fp32")
    assert ours.name == theirs.name
    for drawn in draw_all(tmp_path, every):
        shown = decode(drawn.path.read_bytes(), max_pixels=64_000_000)
        (one,), (other,) = ours.read([shown]), theirs.read([shown])
        assert [line.text for line in one] == [line.text for line in other], drawn.name
        apart = np.array([line.corners for line in one]) - [line.corners for line in other]
        assert np.abs(apart.reshape(-1, 2) * (shown.width, shown.height)).max(initial=0) <= 1, drawn.name


@pytest.mark.skipif(bool(openvino.why_not_bf16()), reason=openvino.why_not_bf16())
@pytest.mark.parametrize("every", [pytest.param(1, marks=pytest.mark.soak), 17])
def test_bf16_reads_nearly_the_same(tmp_path, every):
    ours, theirs = load_ocr(), load_ocr(runtime="openvino", precision="bf16")
    assert ours.name == theirs.name
    lines = others = 0
    for drawn in draw_all(tmp_path, every):
        shown = decode(drawn.path.read_bytes(), max_pixels=64_000_000)
        (one,), (other,) = ours.read([shown]), theirs.read([shown])
        assert len(one) == len(other), drawn.name
        lines += len(one)
        others += sum(folded(mine.text) != folded(its.text) for mine, its in zip(one, other, strict=True))
        apart = np.array([line.corners for line in one]) - [line.corners for line in other]
        assert np.abs(apart.reshape(-1, 2) * (shown.width, shown.height)).max(initial=0) <= 8, drawn.name
    assert others <= lines / 100


class TestLoad:
    def test_unknown_engine(self):
        with pytest.raises(ValueError, match="unknown OCR engine 'tesseract'"):
            load_ocr("tesseract")

    @pytest.mark.parametrize("engine", ["rapidocr", "rapidocr-onnxruntime"])
    def test_its_name_is_known_without_loading_it(self, engine):
        settings = {"min_box_score": 0.6, "min_text_score": 0.7, "detect_side": 640}
        assert OcrSettings(engine, **settings).name == load_ocr(engine, **settings).name

    def test_useless_settings(self):
        with pytest.raises(ValueError, match="detect_side"):
            load_ocr(detect_side=0)

    def test_missing_model_file(self, monkeypatch):
        monkeypatch.setattr(Path, "is_file", lambda self: False)
        with pytest.raises(WeightsError, match=r"PP-OCRv6_det_small\.onnx is missing: reinstall rapidocr"):
            load_ocr("rapidocr")

    def test_missing_package(self, monkeypatch):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        with pytest.raises(WeightsError, match="'rapidocr-onnxruntime' is not installed: pip install rapidocr-onnx"):
            load_ocr("rapidocr-onnxruntime")

    def test_cuda_where_there_is_none_warns_and_uses_the_cpu(self, monkeypatch, caplog):
        monkeypatch.setattr(onnx.onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
        with caplog.at_level(logging.WARNING):
            ocr = load_ocr(device="cuda")
        assert "models run on the CPU: this ONNX Runtime has no CUDA" in caplog.text
        page_of_text, truth = page(1)
        assert {line.text for line in ocr.read([picture(page_of_text)])[0]} == set(truth)

    def test_cuda_that_does_not_load_is_told_of(self, monkeypatch):
        # onnxruntime-gpu beside another CUDA: it has the provider, and opens sessions without it
        monkeypatch.setattr(onnx.onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
        with pytest.warns(UserWarning, match="not in available provider names"):
            trouble = ocr_engines.engine_gpu_trouble("rapidocr")
        assert "finds no CUDA and cuDNN" in trouble


@pytest.mark.parametrize("engine", ["rapidocr", "rapidocr-onnxruntime"])
def test_what_a_gpu_is_given_reads_the_same(monkeypatch, engine):
    """Pictures and lines padded to few shapes, in full batches; on a processor, which computes the same."""

    def open_padded(path, *, device, threads, shape):
        assert device == "cuda"
        return onnx.FixedShapes(path, onnx.onnxruntime.SessionOptions(), ["CPUExecutionProvider"], shape)

    plain = load_ocr(engine)
    monkeypatch.setattr(ocr_engines, "usable_device", lambda device, model: device)
    monkeypatch.setattr(ocr_engines, "open_session", open_padded)
    padded = load_ocr(engine, device="cuda")
    image, truth = page(2, 900, 700)
    (ours,), (theirs,) = (ocr.read([picture(image)]) for ocr in (plain, padded))
    assert len(ours) == len(theirs) == len(truth)
    # PP-OCRv4 takes a capital I for a small l, or not, depending on how far a line is padded.
    assert [line.text.replace("l", "I") for line in ours] == [line.text.replace("l", "I") for line in theirs]
    np.testing.assert_allclose([line.corners for line in ours], [line.corners for line in theirs], atol=0.01)
