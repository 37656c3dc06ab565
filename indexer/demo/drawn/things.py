"""Shapes and objects that a few strokes can draw, each with its names and typical colour."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from PIL import ImageDraw

Colour = tuple[int, int, int]
Point = tuple[float, float]

COLOURS: dict[str, Colour] = {
    "红": (220, 38, 40),
    "橙": (248, 135, 15),
    "黄": (248, 220, 50),
    "绿": (50, 160, 70),
    "蓝": (45, 95, 215),
    "紫": (135, 60, 170),
    "黑": (28, 28, 30),
    "白": (248, 248, 246),
}
_WOOD, _LEAF, _GLASS, _RUBBER, _CREAM = (110, 75, 45), (70, 140, 60), (205, 230, 240), (40, 40, 42), (240, 225, 200)


class Pen:
    """Draws in a square of its own: (-1, -1) is its upper left corner, (1, 1) the lower right one.

    Args:
        draw: what it draws on.
        centre: of the square, in pixels.
        half: half of its side, in pixels.
        mirrored: whether left and right are swapped.
    """

    def __init__(self, draw: ImageDraw.ImageDraw, centre: Point, half: float, *, mirrored: bool = False) -> None:
        self._draw = draw
        self._centre = centre
        self._half = half
        self._side = -half if mirrored else half

    def _at(self, point: Point) -> Point:
        return self._centre[0] + self._side * point[0], self._centre[1] + self._half * point[1]

    def polygon(self, colour: Colour, *points: Point) -> None:
        """A filled polygon."""
        self._draw.polygon([self._at(point) for point in points], colour)

    def disc(self, colour: Colour, x: float = 0, y: float = 0, across: float = 1, down: float | None = None) -> None:
        """A filled ellipse around (x, y), with its two radii."""
        down = across if down is None else down
        (left, top), (right, bottom) = self._at((x - across, y - down)), self._at((x + across, y + down))
        self._draw.ellipse((min(left, right), top, max(left, right), bottom), colour)

    def box(self, colour: Colour, left: float, top: float, right: float, bottom: float) -> None:
        """A filled rectangle."""
        self.polygon(colour, (left, top), (right, top), (right, bottom), (left, bottom))

    def line(self, colour: Colour, width: float, *points: Point) -> None:
        """A line through points. `width` is a fraction of half the square's side."""
        self._draw.line([self._at(point) for point in points], colour, max(1, round(width * self._half)), "curve")


@dataclass(frozen=True)
class Thing:
    """Something to draw.

    Attributes:
        names: its names. The first one identifies it.
        measure: its measure word.
        draw: draws it with a pen, most of it in the given colour.
    """

    names: tuple[str, ...]
    measure: str
    draw: Callable[[Pen, Colour], None]

    @property
    def name(self) -> str:
        """The first of its names."""
        return self.names[0]


def shade(colour: Colour, factor: float) -> Colour:
    """The same colour in other light: a factor below 1 is darker, above 1 lighter."""
    red, green, blue = (min(255, round(part * factor)) for part in colour)
    return red, green, blue


def _round(corners: int, *radii: float, start: float = -math.pi / 2) -> Sequence[Point]:
    """Evenly spaced points around the middle. Their distances from it alternate between `radii`."""
    angles = (start + 2 * math.pi * number / corners for number in range(corners))
    return [
        (radii[number % len(radii)] * math.cos(angle), radii[number % len(radii)] * math.sin(angle))
        for number, angle in enumerate(angles)
    ]


def _circle(pen: Pen, colour: Colour) -> None:
    pen.disc(colour)


def _square(pen: Pen, colour: Colour) -> None:
    pen.box(colour, -0.9, -0.9, 0.9, 0.9)


def _triangle(pen: Pen, colour: Colour) -> None:
    pen.polygon(colour, (0, -0.95), (1, 0.85), (-1, 0.85))


def _star(pen: Pen, colour: Colour) -> None:
    pen.polygon(colour, *_round(10, 1, 0.42))


def _heart(pen: Pen, colour: Colour) -> None:
    pen.disc(colour, -0.47, -0.35, 0.5)
    pen.disc(colour, 0.47, -0.35, 0.5)
    pen.polygon(colour, (-0.93, -0.15), (-0.4, -0.4), (0, -0.3), (0.4, -0.4), (0.93, -0.15), (0, 0.95))


def _crescent(pen: Pen, colour: Colour) -> None:
    outer = [(math.cos(a), math.sin(a)) for a in (math.radians(d) for d in range(60, 301, 10))]
    inner = [(0.45 + 0.87 * math.cos(a), 0.87 * math.sin(a)) for a in (math.radians(d) for d in range(265, 94, -10))]
    pen.polygon(colour, *((x + 0.2, y) for x, y in (*outer, *inner)))


def _house(pen: Pen, colour: Colour) -> None:
    pen.box(colour, -0.75, -0.2, 0.75, 0.95)
    pen.polygon(shade(colour, 0.7), (-1, -0.2), (0, -1), (1, -0.2))
    pen.box(_WOOD, -0.2, 0.35, 0.2, 0.95)
    pen.box(_GLASS, 0.35, 0.05, 0.62, 0.35)
    pen.box(_GLASS, -0.62, 0.05, -0.35, 0.35)


def _tree(pen: Pen, colour: Colour) -> None:
    pen.box(_WOOD, -0.13, 0.2, 0.13, 1)
    for x, y, radius in ((-0.4, -0.1, 0.45), (0.4, -0.1, 0.45), (0, -0.5, 0.5), (0, 0, 0.45)):
        pen.disc(colour, x, y, radius)


def _sun(pen: Pen, colour: Colour) -> None:
    for (x, y), (u, v) in zip(_round(12, 0.7), _round(12, 1.0), strict=True):
        pen.line(colour, 0.12, (x, y), (u, v))
    pen.disc(colour, 0, 0, 0.55)


def _car(pen: Pen, colour: Colour) -> None:
    pen.polygon(colour, (-0.55, -0.05), (-0.3, -0.5), (0.35, -0.5), (0.65, -0.05))
    pen.box(colour, -1, -0.1, 1, 0.35)
    pen.polygon(_GLASS, (-0.38, -0.08), (-0.22, -0.38), (0, -0.38), (0, -0.08))
    pen.polygon(_GLASS, (0.08, -0.08), (0.08, -0.38), (0.3, -0.38), (0.48, -0.08))
    for x in (-0.5, 0.5):
        pen.disc(_RUBBER, x, 0.38, 0.25)
        pen.disc((190, 190, 190), x, 0.38, 0.1)


def _fish(pen: Pen, colour: Colour) -> None:
    pen.polygon(shade(colour, 0.85), (-0.45, 0), (-1, -0.5), (-1, 0.5))
    pen.disc(colour, 0.2, 0, 0.75, 0.48)
    pen.disc((255, 255, 255), 0.6, -0.12, 0.12)
    pen.disc((10, 10, 10), 0.63, -0.12, 0.06)


def _flower(pen: Pen, colour: Colour) -> None:
    pen.line(_LEAF, 0.12, (0, 0), (0, 1))
    pen.disc(_LEAF, 0.25, 0.7, 0.22, 0.1)
    for x, y in _round(6, 0.45):
        pen.disc(colour, x, y - 0.35, 0.27)
    pen.disc((235, 180, 40) if colour[2] > 100 or colour[1] < 150 else (150, 90, 30), 0, -0.35, 0.22)


def _umbrella(pen: Pen, colour: Colour) -> None:
    dome = [(math.cos(math.radians(d)), math.sin(math.radians(d))) for d in range(180, 361, 10)]
    pen.polygon(colour, *dome)
    pen.line(_RUBBER, 0.1, (0, -0.05), (0, 0.85), (0.1, 0.95), (0.25, 0.85))


def _boat(pen: Pen, colour: Colour) -> None:
    pen.polygon(colour, (-1, 0.35), (1, 0.35), (0.65, 0.9), (-0.65, 0.9))
    pen.line(_WOOD, 0.1, (0, 0.35), (0, -1))
    pen.polygon(_CREAM, (0.08, -0.95), (0.75, 0.2), (0.08, 0.2))
    pen.polygon(_CREAM, (-0.08, -0.6), (-0.55, 0.2), (-0.08, 0.2))


def _mushroom(pen: Pen, colour: Colour) -> None:
    pen.polygon(_CREAM, (-0.28, 0), (0.28, 0), (0.35, 0.9), (-0.35, 0.9))
    pen.polygon(colour, *((math.cos(a), 0.15 + math.sin(a)) for a in (math.radians(d) for d in range(180, 361, 10))))
    spots = (250, 250, 245) if sum(colour) < 650 else (200, 190, 175)
    for x, y, radius in ((-0.5, -0.15, 0.14), (0.05, -0.5, 0.16), (0.52, -0.12, 0.13)):
        pen.disc(spots, x, y, radius)


def _butterfly(pen: Pen, colour: Colour) -> None:
    for side in (-1, 1):
        pen.disc(colour, side * 0.5, -0.38, 0.46, 0.48)
        pen.disc(shade(colour, 0.8), side * 0.42, 0.42, 0.36, 0.4)
        pen.line(_RUBBER, 0.05, (0, -0.5), (side * 0.3, -0.98))
    pen.disc(_RUBBER, 0, 0, 0.1, 0.65)


def _plane(pen: Pen, colour: Colour) -> None:
    pen.disc(colour, 0, 0, 1, 0.2)
    pen.polygon(shade(colour, 0.85), (0.25, -0.05), (-0.25, -0.9), (-0.5, -0.9), (-0.2, 0))
    pen.polygon(shade(colour, 0.85), (0.25, 0.05), (-0.25, 0.9), (-0.5, 0.9), (-0.2, 0))
    pen.polygon(shade(colour, 0.7), (-0.7, 0), (-1, -0.4), (-0.85, -0.4), (-0.55, 0))
    pen.polygon(shade(colour, 0.7), (-0.7, 0), (-1, 0.4), (-0.85, 0.4), (-0.55, 0))


def _cat(pen: Pen, colour: Colour) -> None:
    pen.polygon(colour, (-0.85, -1), (-0.2, -0.5), (-0.8, -0.1))
    pen.polygon(colour, (0.85, -1), (0.2, -0.5), (0.8, -0.1))
    pen.disc(colour, 0, 0.15, 0.88, 0.75)
    eyes = (250, 230, 90) if sum(colour) < 300 else (20, 40, 20)
    for side in (-1, 1):
        pen.disc(eyes, side * 0.35, 0.02, 0.13, 0.17)
        pen.line((150, 150, 150), 0.05, (side * 0.2, 0.4), (side * 0.95, 0.3))
    pen.polygon((235, 120, 140), (-0.1, 0.3), (0.1, 0.3), (0, 0.45))


THINGS: tuple[Thing, ...] = (
    Thing(("圆", "圆形", "圆圈"), "个", _circle),
    Thing(("正方形", "方块", "方形"), "个", _square),
    Thing(("三角形", "三角"), "个", _triangle),
    Thing(("五角星", "星星", "星形"), "个", _star),
    Thing(("心形", "爱心"), "个", _heart),
    Thing(("月亮", "月牙"), "个", _crescent),
    Thing(("房子", "屋子"), "座", _house),
    Thing(("树", "大树"), "棵", _tree),
    Thing(("太阳",), "个", _sun),
    Thing(("汽车", "车", "小汽车"), "辆", _car),
    Thing(("鱼", "小鱼"), "条", _fish),
    Thing(("花", "花朵"), "朵", _flower),
    Thing(("雨伞", "伞"), "把", _umbrella),
    Thing(("船", "帆船", "小船"), "艘", _boat),
    Thing(("蘑菇",), "个", _mushroom),
    Thing(("蝴蝶",), "只", _butterfly),
    Thing(("飞机",), "架", _plane),
    Thing(("猫", "小猫", "猫咪"), "只", _cat),
)
