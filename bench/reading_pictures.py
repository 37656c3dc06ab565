"""Pictures for `bench.reading`: in each kind something else makes reading hard, and what is written is known."""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from bench.reading_texts import CHARACTERS, COLUMNS, WORDS, lines
from indexer.demo.canvas import Canvas, Colour, Face, font


@dataclass(frozen=True)
class Sample:
    """An encoded picture and the lines written in it."""

    data: bytes
    lines: list[str]


Draw = Callable[[np.random.Generator], Sample]

_GROUNDS: list[tuple[Colour, Colour]] = [
    ((235, 232, 225), (30, 80, 60)), ((40, 44, 60), (240, 240, 235)), ((180, 190, 170), (250, 250, 250)),
    ((90, 60, 40), (168, 30, 30)), ((210, 220, 235), (20, 20, 24)),
]  # fmt: skip


def _sample(canvas: Canvas, kind: str = "jpeg") -> Sample:
    buffer = io.BytesIO()
    canvas.image.save(buffer, kind, quality=88)
    return Sample(buffer.getvalue(), canvas.lines)


def _face(rng: np.random.Generator) -> Face:
    return "sans" if rng.random() < 0.5 else "serif"


def _plate(rng: np.random.Generator, text: str) -> Canvas:
    """One text on a plate somewhere in the picture."""
    behind, plate = _GROUNDS[rng.integers(len(_GROUNDS))]
    dark = isinstance(plate, tuple) and sum(plate) < 380
    view = Canvas(1440, 1080, behind)
    size, face = int(rng.integers(40, 220)), _face(rng)
    wide = font(face, size).getlength(text)
    left, top = int(rng.integers(40, int(1400 - wide - size))), int(rng.integers(40, 1040 - 2 * size))
    view.pen.rounded_rectangle((left, top, left + wide + size, top + 2 * size), 20, plate)
    view.write((left + size / 2, top + size), text, size, "white" if dark else "black", face, "lm")
    return view.age(int(rng.integers(1 << 30)), noise=5, blur=0.6)


def _number_text(rng: np.random.Generator) -> str:
    flippable = "".join(rng.choice(list("01689"), rng.integers(2, 5)))
    digits = "".join(rng.choice(list("0123456789"), rng.integers(2, 6)))
    clock = f"{rng.integers(24)}:{rng.integers(60):02}"
    return str(rng.choice([flippable, flippable, digits, clock, f"{digits}号", f"{digits[:2]}.{rng.integers(100):02}"]))


def number(rng: np.random.Generator) -> Sample:
    """A lone number: a door plate, a clock, a ticket, a price."""
    return _sample(_plate(rng, _number_text(rng)))


def word(rng: np.random.Generator) -> Sample:
    """A lone word."""
    return _sample(_plate(rng, str(rng.choice(WORDS))))


def character(rng: np.random.Generator) -> Sample:
    """A lone digit, letter or Chinese character."""
    return _sample(_plate(rng, str(rng.choice(list(CHARACTERS)))))


def _page(rng: np.random.Generator, sizes: tuple[int, int], paper: Colour = "white", ink: Colour = "#1c1c3c") -> Canvas:
    """A page of sentences, each somewhere on its line."""
    page = Canvas(1440, 1080, paper)
    face, top = _face(rng), 50.0
    for text in lines(rng, 18):
        size = int(rng.integers(*sizes))
        if top + 2 * size > 1040:
            break
        page.write((int(rng.integers(40, 700)), top), text, size, ink, face)
        top += max(size * 2, 70)
    return page


def small(rng: np.random.Generator) -> Sample:
    """Characters of 11 to 18 pixels."""
    return _sample(_page(rng, (11, 19)))


def faint(rng: np.random.Generator) -> Sample:
    """Ink that differs from its paper by 18 to 50 of 255."""
    paper = int(rng.integers(90, 230))
    ink = paper - int(rng.integers(18, 50))
    page = _page(rng, (28, 52), (paper, paper, paper), (ink, ink, ink))
    return _sample(page.age(int(rng.integers(1 << 30)), noise=2, blur=0.4))


def _sheet(rng: np.random.Generator) -> Canvas:
    """A page that lies on a table, whole even after leaning."""
    sheet = Canvas(1000, 760)
    for row, text in enumerate(lines(rng, 6)):
        sheet.write((60, 60 + row * 110), text, int(rng.integers(30, 50)), "#202028", _face(rng))
    return sheet.lie_on("#8a7a66", 220)


def tilted(rng: np.random.Generator) -> Sample:
    """A page leaning by 5 to 15 degrees, either way."""
    return _sample(_sheet(rng).lean(float(rng.uniform(5, 15) * rng.choice([-1, 1]))).age(1, noise=4))


def perspective(rng: np.random.Generator) -> Sample:
    """A page seen from below."""
    return _sample(_sheet(rng).recede(float(rng.uniform(0.08, 0.2))).age(1, noise=4))


def _column(rng: np.random.Generator, count: int) -> Canvas:
    view = Canvas(1080, 1080, "#f4efe2")
    for index, text in enumerate(rng.permutation(COLUMNS)[:count]):
        size, face = int(rng.integers(44, 80)), _face(rng)
        left = (1080 - 220 * count) // 2 + 80 + index * 220
        for row, glyph in enumerate(text):
            view.pen.text((left, 180 + row * size * 1.12), glyph, "#7a1a12", font(face, size))
        view.lines.append(str(text))
    return view


def vertical(rng: np.random.Generator) -> Sample:
    """Three columns written downwards."""
    return _sample(_column(rng, 3).age(1, noise=4))


def tilted_column(rng: np.random.Generator) -> Sample:
    """One column written downwards, leaning by 5 to 15 degrees."""
    return _sample(_column(rng, 1).lean(float(rng.uniform(5, 15) * rng.choice([-1, 1]))).age(1, noise=4))


def transparent(rng: np.random.Generator) -> Sample:
    """Ink of any shade on nothing, as PNG or WebP, whose hidden pixels have an arbitrary colour."""
    hidden = int(rng.choice([0, 255]))
    image = Image.new("RGBA", (1080, 720), (hidden, hidden, hidden, 0))
    shade = int(rng.choice([0, 40, 90, 170, 255]))
    written = lines(rng, 4)
    for row, text in enumerate(written):
        ImageDraw.Draw(image).text((60, 60 + 140 * row), text, (shade, shade, shade, 255), font(_face(rng), 48))
    buffer = io.BytesIO()
    image.save(buffer, str(rng.choice(["png", "webp"])))
    return Sample(buffer.getvalue(), written)


def long(rng: np.random.Generator) -> Sample:
    """A stitched screenshot, ten times as high as wide."""
    view = Canvas(790, 7900)
    for row, text in enumerate(lines(rng, 24)):
        view.write((60, 100 + row * 320), f"{row + 1}.{text}", int(rng.integers(26, 40)))
    return _sample(view)


def wide(rng: np.random.Generator) -> Sample:
    """A panorama, ten times as wide as high."""
    view = Canvas(7900, 790, "#dfe6ea")
    for column, text in enumerate(lines(rng, 8)):
        view.write((60 + column * 980, int(rng.integers(60, 640))), text, int(rng.integers(34, 60)))
    return _sample(view)


def _turned(quarters: int) -> Draw:
    def turned(rng: np.random.Generator) -> Sample:
        page = _page(rng, (30, 52))
        page.image = page.image.rotate(90 * quarters, expand=True)
        return _sample(page)

    return turned


def turned_word(rng: np.random.Generator) -> Sample:
    """A lone word of Chinese, upside down or a quarter turned."""
    view = _plate(rng, str(rng.choice([text for text in WORDS if len(text) > 1 and not text.isascii()])))
    view.image = view.image.rotate(int(rng.choice([90, 180, 270])), expand=True)
    return _sample(view)


def on_photo(rng: np.random.Generator) -> Sample:
    """White letters over foliage, out of focus."""
    view = Canvas(1440, 1080)
    view.image.paste(_leaves(rng).filter(ImageFilter.GaussianBlur(3)))
    for row, text in enumerate(lines(rng, 4)):
        view.write((int(rng.integers(40, 300)), 100 + 240 * row), text, int(rng.integers(50, 80)), "white", _face(rng))
    return _sample(view.age(1, noise=8, blur=float(rng.uniform(1.5, 3))))


def _leaves(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (1440, 1080), "#24401c")
    for _ in range(500):
        leaf = Image.new("L", (120, 120))
        ImageDraw.Draw(leaf).ellipse((10, 40 + int(rng.integers(0, 14)), 110, 80), int(rng.integers(150, 256)))
        leaf = leaf.rotate(float(rng.uniform(0, 360)))
        shade = (int(rng.integers(30, 120)), int(rng.integers(90, 200)), int(rng.integers(20, 80)))
        image.paste(shade, (int(rng.integers(-60, 1400)), int(rng.integers(-60, 1040))), leaf)
    return image


def _plain(paint: Callable[[np.random.Generator], Image.Image]) -> Draw:
    def textless(rng: np.random.Generator) -> Sample:
        view = Canvas(1440, 1080)
        view.image.paste(paint(rng))
        return _sample(view.age(int(rng.integers(1 << 30)), noise=5, blur=0.8))

    return textless


def _shade(rng: np.random.Generator, least: int = 0) -> tuple[int, int, int]:
    red, green, blue = (int(part) for part in rng.integers(least, 256, 3))
    return red, green, blue


def _squares(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (1440, 1080), _shade(rng))
    pen = ImageDraw.Draw(image)
    for _ in range(int(rng.integers(10, 80))):
        x, y, side = (int(number) for number in (rng.integers(1400), rng.integers(1040), rng.integers(15, 200)))
        colour = _shade(rng)
        inside = colour if rng.random() < 0.6 else None
        pen.rectangle((x, y, x + side, y + side), inside, colour, int(rng.integers(2, 12)))
    return image


def _lights(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (1440, 1080), "#0b0f1a")
    pen = ImageDraw.Draw(image)
    for _ in range(70):
        x, y, radius = (int(number) for number in (rng.integers(1440), rng.integers(1080), rng.integers(6, 60)))
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), _shade(rng, 90))
    return image.filter(ImageFilter.GaussianBlur(float(rng.uniform(2, 9))))


def _bricks(rng: np.random.Generator) -> Image.Image:
    image = Image.new("RGB", (1440, 1080), "#cfc8bb")
    pen = ImageDraw.Draw(image)
    high = int(rng.integers(24, 80))
    for row in range(1080 // high + 1):
        for column in range(-1, 1440 // (2 * high) + 1):
            left, top = column * 2 * high + row % 2 * high, row * high
            light = int(rng.integers(-25, 25))
            corners = (left + 4, top + 4, left + 2 * high - 4, top + high - 4)
            pen.rectangle(corners, (150 + light, 75 + light, 55 + light))
    return image


def _water(rng: np.random.Generator) -> Image.Image:
    down, across = np.mgrid[0:1080, 0:1440].astype(np.float32)
    waves = np.zeros_like(down)
    for _ in range(24):
        angle, length = rng.normal(np.pi / 2, 0.5), rng.uniform(14, 160)
        waves += np.sin((across * np.cos(angle) + down * np.sin(angle)) * 2 * np.pi / length + rng.uniform(0, 6.3))
    bright = (waves - waves.min()) / np.ptp(waves)
    colours = np.stack([bright**3, 0.3 + bright * 0.6, 0.45 + bright * 0.5], 2)
    return Image.fromarray((colours * 255).clip(0, 255).astype(np.uint8))


KINDS: dict[str, Draw] = {
    "number": number, "word": word, "character": character, "small": small, "faint": faint, "tilted": tilted,
    "perspective": perspective, "vertical": vertical, "tilted column": tilted_column, "transparent": transparent,
    "long": long, "wide": wide, "turned 90": _turned(1), "turned 180": _turned(2), "turned 270": _turned(3),
    "turned word": turned_word, "on a photo": on_photo,
    "leaves": _plain(_leaves), "squares": _plain(_squares), "lights": _plain(_lights), "bricks": _plain(_bricks),
    "water": _plain(_water),
}  # fmt: skip


def samples(kind: str, count: int, *, seed: int = 0) -> list[Sample]:
    """The first `count` pictures of a kind: the same ones each time. Another `seed` gives other ones."""
    number_of = list(KINDS).index(kind)
    return [KINDS[kind](np.random.default_rng([number_of, number, seed])) for number in range(count)]
