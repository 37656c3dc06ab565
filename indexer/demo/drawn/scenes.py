"""Random pictures of a few things, and all facts that are true of them."""

import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from random import Random

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from indexer.demo.drawn.things import COLOURS, THINGS, Colour, Pen, Point, Thing, shade

Fact = tuple[str | int | None, ...]

SIDES = ("左边", "右边", "上面", "下面")
PLACES = ("草地上", "海上", "夜里", "雪地上")
_OPPOSITE = {"左边": "右边", "右边": "左边", "上面": "下面", "下面": "上面"}
_CELLS = {0: "左上角", 2: "右上角", 4: "中间", 6: "左下角", 8: "右下角"}  # cells of nine, in rows of three
_UNSEEN = {"草地上": "绿白", "海上": "蓝白", "夜里": "黑蓝紫", "雪地上": "白"}  # colours that do not stand out
_PAGES = 0.06  # fraction of pictures that are pages of writing
_CONTRAST = 115  # least distance between the colours of a thing and of a plain background, in RGB of 255

HELD_OUT = frozenset(
    (thing.name, colour)
    for (row, thing), (column, colour) in product(enumerate(THINGS), enumerate(COLOURS))
    if (3 * row + column) % len(COLOURS) == 0
)
"""One colour of each thing. No picture for training shows these pairs, and no caption names them."""


@dataclass(frozen=True)
class Group:
    """Several copies of one thing in one colour, around these points (0 to 1 of width and height), of this size.

    `size` is half the side of each, as a fraction of the picture's shorter side.
    """

    thing: Thing
    colour: str
    points: tuple[Point, ...]
    size: float
    position: str | None = None

    @property
    def pair(self) -> tuple[str, str]:
        """The pair of thing and colour, as in `HELD_OUT`."""
        return self.thing.name, self.colour


@dataclass(frozen=True)
class Scene:
    """The content of a picture: one group, or two single things, the first on the `relation` side of the second.

    A scene without groups is a page of writing. `seed` decides what captions do not say: background, light, noise.
    """

    groups: tuple[Group, ...]
    relation: str | None
    place: str | None
    seed: int

    def facts(self) -> frozenset[Fact]:
        """All facts that are true of it. A caption is true if all its facts are among them."""
        return frozenset(self._facts())

    def _facts(self) -> Iterator[Fact]:
        if not self.groups:
            yield ("page",)
        if self.place:
            yield ("place", self.place)
        for group in self.groups:
            for thing, colour in product((group.thing.name, None), (group.colour, None)):
                yield ("has", thing, colour)
                yield ("count", thing, colour, len(group.points))
                if group.position:
                    sides = (side for side in SIDES if side[0] in group.position)
                    for position in {group.position, *sides}:
                        yield ("at", thing, colour, position)
        if self.relation:
            for relation, (one, other) in (
                (self.relation, self.groups),
                (_OPPOSITE[self.relation], self.groups[::-1]),
            ):
                for a, b in product((one.colour, None), (other.colour, None)):
                    yield ("beside", one.thing.name, a, relation, other.thing.name, b)


def invent(chance: Random, *, held_out: bool = False) -> Scene:
    """A random scene.

    Args:
        chance: the random generator. The same state gives the same scene.
        held_out: whether its first thing has a colour that it never has in training. Otherwise nothing in it has one.
    """
    if not held_out and chance.random() < _PAGES:
        return Scene((), None, None, chance.getrandbits(32))
    place = chance.choice(PLACES) if chance.random() < 0.3 else None
    pairs = [_pair(chance, place, held_out)]
    if chance.random() < 0.4:
        second = _pair(chance, place, held_out=False)
        if second[0] != pairs[0][0]:
            pairs.append(second)
    return _arranged(pairs, place, chance)


def twin(scene: Scene, chance: Random) -> Scene:
    """A similar scene of the same things: in other places, in other numbers, or with swapped colours."""
    pairs = [(group.thing, group.colour) for group in scene.groups]
    if not pairs:
        return invent(chance)
    if len(pairs) == 2:
        (one, first), (other, second) = pairs
        exchanged = [(one, second), (other, first)]
        if chance.random() < 0.5 and not HELD_OUT & {(thing.name, colour) for thing, colour in exchanged}:
            pairs = exchanged
    return _arranged(pairs, scene.place, chance)


def _pair(chance: Random, place: str | None, held_out: bool) -> tuple[Thing, str]:
    while True:
        thing, colour = chance.choice(THINGS), chance.choice(tuple(COLOURS))
        if ((thing.name, colour) in HELD_OUT) is held_out and colour not in _UNSEEN.get(place or "", ""):
            return thing, colour


def _arranged(pairs: list[tuple[Thing, str]], place: str | None, chance: Random) -> Scene:
    seed = chance.getrandbits(32)
    if len(pairs) == 2:
        relation = chance.choice(SIDES)
        return Scene(_two(pairs, relation, chance), relation, place, seed)
    (thing, colour), number = pairs[0], chance.randint(2, 4)
    if chance.random() < 0.4:
        points = tuple(_within(cell, chance) for cell in chance.sample(range(9), number))
        return Scene((Group(thing, colour, points, chance.uniform(0.13, 0.165)),), None, place, seed)
    cell = chance.choice(tuple(_CELLS))
    group = Group(thing, colour, (_within(cell, chance),), chance.uniform(0.18, 0.26), _CELLS[cell])
    return Scene((group,), None, place, seed)


def _two(pairs: list[tuple[Thing, str]], relation: str, chance: Random) -> tuple[Group, ...]:
    """The first thing on that side of the second."""
    near, far, level = chance.uniform(0.2, 0.26), chance.uniform(0.74, 0.8), chance.uniform(0.32, 0.68)
    along = (near, far) if relation in ("左边", "上面") else (far, near)
    groups = []
    for (thing, colour), at, side in zip(pairs, along, (relation, _OPPOSITE[relation]), strict=True):
        aside = level + chance.uniform(-0.06, 0.06)
        point = (at, aside) if relation in ("左边", "右边") else (aside, at)
        groups.append(Group(thing, colour, (point,), chance.uniform(0.18, 0.235), side))
    return tuple(groups)


def _within(cell: int, chance: Random) -> Point:
    """Near the middle of one of nine cells."""
    row, column = divmod(cell, 3)
    return (column + 0.5) / 3 + chance.uniform(-0.03, 0.03), (row + 0.5) / 3 + chance.uniform(-0.03, 0.03)


def draw(scene: Scene, width: int, height: int) -> Image.Image:
    """The picture of a scene, as a photo: light, grain, blur. Always the same for the same scene."""
    chance = Random(scene.seed)  # noqa: S311 - a picture, not a secret
    shown = [_jittered(COLOURS[group.colour], chance) for group in scene.groups]
    image = _background(scene, shown, width, height, chance)
    pen = ImageDraw.Draw(image)
    if not scene.groups:
        _page(pen, width, height, chance)
    elif chance.random() < 0.15:
        _writing(pen, width, height, chance)
    mirrored = chance.random() < 0.5
    for group, colour in zip(scene.groups, shown, strict=True):
        half = group.size * min(width, height)
        for x, y in group.points:
            centre = (
                min(max(x * width, half * 1.05), width - half * 1.05),
                min(max(y * height, half * 1.05), height - half * 1.05),
            )
            group.thing.draw(Pen(pen, centre, half * chance.uniform(0.92, 1.08), mirrored=mirrored), colour)
    return _taken(image, chance)


def encoded(image: Image.Image, quality: int = 85) -> bytes:
    """As JPEG."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()


def _jittered(colour: Colour, chance: Random) -> Colour:
    red, green, blue = (min(255, max(0, part + chance.randint(-10, 10))) for part in colour)
    return red, green, blue


def _background(scene: Scene, shown: list[Colour], width: int, height: int, chance: Random) -> Image.Image:
    if scene.place:
        return _landscape(scene.place, width, height, chance)
    while True:
        light = chance.random() < 0.75
        low, high = (150, 250) if light else (25, 110)
        first: Colour = (chance.randint(low, high), chance.randint(low, high), chance.randint(low, high))
        second = shade(first, chance.uniform(0.85, 1.15))
        if all(math.dist(colour, ground) > _CONTRAST for colour in shown for ground in (first, second)):
            break
    kind = chance.randrange(3)
    if kind == 0 or not scene.groups:
        return Image.new("RGB", (width, height), first)
    if kind == 1:
        return _gradient(first, second, width, height, upright=chance.random() < 0.5)
    image = Image.new("RGB", (width, height), first)
    pen = ImageDraw.Draw(image)
    lean = chance.choice((0, height))
    step = max(2, round(width * chance.uniform(0.04, 0.12)))
    for x in range(0, width + height, 2 * step):
        pen.polygon([(x, 0), (x + step, 0), (x + step - lean, height), (x - lean, height)], second)
    return image


def _gradient(first: Colour, second: Colour, width: int, height: int, *, upright: bool = True) -> Image.Image:
    ramp = np.linspace(0, 1, height if upright else width)[:, None]
    colours = (1 - ramp) * np.array(first) + ramp * np.array(second)
    pixels = np.broadcast_to(colours[:, None] if upright else colours[None], (height, width, 3))
    return Image.fromarray(pixels.astype(np.uint8))


def _landscape(place: str, width: int, height: int, chance: Random) -> Image.Image:
    horizon = round(height * chance.uniform(0.3, 0.55))
    dawn = chance.uniform(0.92, 1.05)
    if place == "夜里":
        image = _gradient((8, 10, 30), (26, 30, 66), width, height)
        pen = ImageDraw.Draw(image)
        for _ in range(chance.randint(15, 40)):
            x, y, r = chance.uniform(0, width), chance.uniform(0, height), min(width, height) * 0.004
            pen.ellipse((x - r, y - r, x + r, y + r), (215, 215, 230))
        return image
    sky, ground, dark = {
        "草地上": ((185, 215, 240), (120, 185, 90), (95, 160, 70)),
        "海上": ((205, 225, 240), (60, 140, 190), (45, 115, 170)),
        "雪地上": ((160, 175, 195), (238, 242, 248), (215, 224, 236)),
    }[place]
    image = _gradient(shade(sky, dawn * 0.95), shade(sky, dawn), width, height)
    pen = ImageDraw.Draw(image)
    pen.rectangle((0, horizon, width, height), shade(ground, dawn))
    for _ in range(40):
        x, y = chance.uniform(0, width), chance.uniform(horizon, height)
        long, thick = width * chance.uniform(0.02, 0.07), max(1, round(height * 0.008))
        if place == "草地上":
            pen.line((x, y, x + long / 4, y - long / 2), shade(dark, dawn), thick)
        else:
            pen.line((x, y, x + long, y), shade(dark, dawn), thick)
    return image


def _page(pen: ImageDraw.ImageDraw, width: int, height: int, chance: Random) -> None:
    """Rows that look like writing on a sheet, sometimes in the cells of a table."""
    left, top = width * chance.uniform(0, 0.2), height * chance.uniform(0, 0.2)
    right, bottom = width * chance.uniform(0.8, 1), height * chance.uniform(0.8, 1)
    paper, ink = ((250, 250, 247), (50, 50, 55)) if chance.random() < 0.75 else ((60, 120, 80), (240, 240, 235))
    pen.rectangle((left, top, right, bottom), paper)
    size = min(width, height) * chance.uniform(0.03, 0.09)
    ruled = chance.random() < 0.25
    y = top + size
    while y + size < bottom:
        if ruled:
            pen.line((left, y - size * 0.3, right, y - size * 0.3), shade(ink, 1.8), 1)
        if chance.random() < 0.9:
            _row(pen, left + size, y, right - size, size, ink, chance)
        y += size * chance.uniform(1.4, 1.9)


def _writing(pen: ImageDraw.ImageDraw, width: int, height: int, chance: Random) -> None:
    """A caption at the upper or lower edge, as on posters."""
    size = min(width, height) * chance.uniform(0.05, 0.1)
    y = chance.choice((size * 0.4, height - size * 1.4))
    band, ink = chance.choice((((250, 250, 247), (45, 45, 50)), ((40, 40, 45), (240, 240, 240))))
    pen.rectangle((0, y - size * 0.4, width, y + size * 1.4), band)
    _row(pen, width * chance.uniform(0.02, 0.3), y, width * chance.uniform(0.6, 0.98), size, ink, chance)


def _row(
    pen: ImageDraw.ImageDraw, left: float, top: float, right: float, size: float, ink: Colour, chance: Random
) -> None:
    """Shapes that look like Chinese characters, of a few strokes each."""
    x, end = left, left + (right - left) * chance.uniform(0.3, 1)
    thick = max(1, round(size * 0.1))
    while x + size < end:
        for _ in range(chance.randint(3, 5)):
            at, length = chance.uniform(0, 0.9) * size, chance.uniform(0.4, 0.9) * size
            start = chance.uniform(0, size - length)
            if chance.random() < 0.5:
                pen.line((x + start, top + at, x + start + length, top + at), ink, thick)
            else:
                pen.line((x + at, top + start, x + at, top + start + length), ink, thick)
        x += size * 1.1


def _taken(image: Image.Image, chance: Random) -> Image.Image:
    noise, light, blur = chance.uniform(0, 9), chance.uniform(0.9, 1.06), chance.uniform(0, 0.004)
    if blur * min(image.size) > 0.5:  # pixels
        image = image.filter(ImageFilter.GaussianBlur(blur * min(image.size)))
    grain = np.random.default_rng(chance.getrandbits(32)).standard_normal((*image.size[::-1], 1), np.float32)
    pixels = np.asarray(image, np.float32) * np.float32(light) + grain * np.float32(noise)
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))
