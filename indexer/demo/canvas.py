"""Draws pictures, and records the text in them."""

import importlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Literal, Self

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from indexer.errors import IndexerError

Face = Literal["sans", "serif", "sans-tc", "serif-tc"]
Colour = str | tuple[int, int, int]


@cache
def font(face: Face, size: int) -> ImageFont.FreeTypeFont:
    """A Noto font that size in pixels: simplified Chinese, or traditional with ``-tc``.

    Raises:
        IndexerError: The fonts are not installed.
    """
    style, _, region = face.partition("-")
    try:
        fonts = importlib.import_module(f"pylopdf_fonts_zh_{'tw' if region else 'cn'}")
    except ImportError as error:
        raise IndexerError("The demo needs fonts to draw with: pip install 'immich-indexer[demo]'") from error
    path: Path = fonts.sans_path() if style == "sans" else fonts.serif_path()
    return ImageFont.truetype(str(path), size)


class Canvas:
    """A picture that is being drawn. It records each line of text in the order of drawing.

    Args:
        width: In pixels.
        height: In pixels.
        background: Its colour.
    """

    def __init__(self, width: int, height: int, background: Colour = "white") -> None:
        self.image = Image.new("RGB", (width, height), background)
        self.pen = ImageDraw.Draw(self.image)
        self.background = background
        self.lines: list[str] = []

    def write(
        self,
        at: tuple[float, float],
        text: str,
        size: int,
        colour: Colour = "black",
        face: Face = "sans",
        anchor: str = "la",
    ) -> float:
        """Writes one line, ``size`` pixels high. Returns its width."""
        self.pen.text(at, text, colour, font(face, size), anchor)
        self.lines.append(text)
        return font(face, size).getlength(text)

    def scribble(
        self,
        at: tuple[float, float],
        text: str,
        size: int,
        colour: Colour,
        rng: np.random.Generator,
        face: Face = "serif",
    ) -> None:
        """Writes one line as an unsteady hand would: each character a little off and a little turned."""
        x, y = at
        for character in text:
            wide = font(face, size).getlength(character)
            glyph = Image.new("L", (size * 2, size * 2))
            ImageDraw.Draw(glyph).text((size // 2, size // 4), character, 255, font(face, size))
            glyph = glyph.rotate(float(rng.uniform(-5, 5)), Image.Resampling.BICUBIC)
            offset = (round(x) - size // 2, round(y + rng.uniform(-2, 2)) - size // 4)
            self.image.paste(Image.new("RGB", glyph.size, colour), offset, glyph)
            x += wide + float(rng.uniform(0, size * 0.06))
        self.lines.append(text)

    def table(
        self,
        at: tuple[int, int],
        widths: Sequence[int],
        height: int,
        rows: Sequence[Sequence[str]],
        size: int,
        face: Face = "sans",
        ink: Colour = "black",
        rules: Colour = "gray",
    ) -> None:
        """Writes each cell as a line of its own, centred between ruled lines."""
        left, top = at
        right, bottom = left + sum(widths), top + height * len(rows)
        for row in range(len(rows) + 1):
            self.pen.line((left, top + row * height, right, top + row * height), rules, 2)
        edges = [left + sum(widths[:column]) for column in range(len(widths) + 1)]
        for edge in edges:
            self.pen.line((edge, top, edge, bottom), rules, 2)
        for row, cells in enumerate(rows):
            for column, cell in enumerate(cells):
                if cell:
                    middle = ((edges[column] + edges[column + 1]) / 2, top + (row + 0.5) * height)
                    self.write(middle, cell, size, ink, face, anchor="mm")

    def lean(self, degrees: float) -> Self:
        """Turns the picture a little, counter-clockwise, as a hand-held camera does."""
        self._replace(self.image.rotate(degrees, Image.Resampling.BICUBIC, fillcolor=self.background, expand=False))
        return self

    def recede(self, amount: float) -> Self:
        """Shows the picture as seen from below: its upper edge gets narrower by that fraction of the width."""
        width, height = self.image.size
        inset = width * amount
        seen = [(inset, inset / 2), (width - inset, inset / 2), (width, height), (0, height)]
        flat = [(0, 0), (width, 0), (width, height), (0, height)]
        self._replace(
            self.image.transform(
                self.image.size,
                Image.Transform.PERSPECTIVE,
                _projection(seen, flat),
                Image.Resampling.BICUBIC,
                fillcolor=self.background,
            )
        )
        return self

    def lie_on(self, table: Colour, margin: int) -> Self:
        """Puts the picture, as a sheet of paper, on a table."""
        scene = Image.new("RGB", (self.image.width + 2 * margin, self.image.height + 2 * margin), table)
        shadow = Image.new("RGB", self.image.size, "#3a3a3a")
        scene.paste(shadow, (margin + 8, margin + 10))
        scene = scene.filter(ImageFilter.GaussianBlur(8))
        scene.paste(self.image, (margin, margin))
        self.background = table
        self._replace(scene)
        return self

    def age(self, seed: int, noise: float = 6, blur: float = 0.5) -> Self:
        """Makes it look like a photo: uneven light, a blurred lens, a noisy sensor.

        Args:
            seed: The same seed draws the same picture.
            noise: Standard deviation in grey levels of 255.
            blur: Radius in pixels.
        """
        rng = np.random.default_rng(seed)
        pixels = np.asarray(self.image.filter(ImageFilter.GaussianBlur(blur)), dtype=np.float32)
        height, width = pixels.shape[:2]
        across, down = np.linspace(1, 0.88, width, dtype=np.float32), np.linspace(1, 0.94, height, dtype=np.float32)
        grain = rng.standard_normal((height, width), dtype=np.float32) * np.float32(noise)
        taken = pixels * np.outer(down, across)[:, :, None] + grain[:, :, None]
        self._replace(Image.fromarray(taken.clip(0, 255).astype(np.uint8)))
        return self

    def turn(self, degrees: Literal[90, 180, 270]) -> Self:
        """Turns the whole picture, as a phone does that was held the wrong way."""
        self._replace(self.image.rotate(degrees, expand=True))
        return self

    def _replace(self, image: Image.Image) -> None:
        self.image = image
        self.pen = ImageDraw.Draw(image)


def _projection(seen: Sequence[tuple[float, float]], flat: Sequence[tuple[float, float]]) -> list[float]:
    """The eight coefficients of the perspective transformation from each seen corner to the flat corner."""
    equations, values = [], []
    for (x, y), (u, v) in zip(seen, flat, strict=True):
        equations += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        values += [u, v]
    return [float(number) for number in np.linalg.solve(np.array(equations), np.array(values))]
