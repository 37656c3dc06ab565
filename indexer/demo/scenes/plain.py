"""Pictures without text."""

import numpy as np
from PIL import Image, ImageFilter

from indexer.demo.canvas import Canvas
from indexer.demo.scenes.scene import scenes


def dusk() -> Canvas:
    """A sky that goes from blue to orange."""
    view = Canvas(1440, 1080)
    rows = np.linspace(0, 1, 1080)[:, None, None]
    sky = (1 - rows) * np.array([40, 60, 120]) + rows * np.array([250, 160, 90])
    view.image.paste(Image.fromarray(np.broadcast_to(sky, (1080, 1440, 3)).astype(np.uint8)))
    return view.age(91, noise=4)


def mountains() -> Canvas:
    """Three ranges of hills behind each other."""
    rng = np.random.default_rng(92)
    view = Canvas(1920, 1080, "#cfe3f1")
    for depth, colour in enumerate(["#9fb8c8", "#6f8fa3", "#3f5b66"]):
        steps = np.cumsum(rng.normal(0, 18, 97)) + 420 + depth * 200
        ridge = [(index * 20, float(height)) for index, height in enumerate(steps)]
        view.pen.polygon([(0, 1080), *ridge, (1920, 1080)], colour)
    view.pen.ellipse((1400, 120, 1560, 280), "#fff3c4")
    return view.age(92, noise=5, blur=1.2)


def triangles() -> Canvas:
    """Coloured triangles."""
    rng = np.random.default_rng(93)
    view = Canvas(1200, 1200, "#fafafa")
    for _ in range(18):
        red, green, blue = (int(part) for part in rng.integers(60, 230, 3))
        corners = [(int(x), int(y)) for x, y in rng.integers(0, 1200, (3, 2))]
        view.pen.polygon(corners, (red, green, blue))
    return view.age(93)


def lights() -> Canvas:
    """A city at night, out of focus."""
    rng = np.random.default_rng(94)
    view = Canvas(1080, 1440, "#0b0f1a")
    for _ in range(60):
        x, y, radius = rng.integers(0, 1080), rng.integers(300, 1300), rng.integers(20, 70)
        colour = ("#f6d365", "#fda085", "#a1c4fd", "#d4fc79")[int(rng.integers(0, 4))]
        view.pen.ellipse((int(x - radius), int(y - radius), int(x + radius), int(y + radius)), colour)
    view.image.paste(view.image.filter(ImageFilter.GaussianBlur(9)))
    return view.age(94, noise=8)


def meadow() -> Canvas:
    """Flowers on grass."""
    rng = np.random.default_rng(95)
    view = Canvas(1440, 960, "#6fae4f")
    for _ in range(220):
        x, y = int(rng.integers(0, 1440)), int(rng.integers(0, 960))
        size = 8 + y // 60
        for across, down in ((-size, 0), (size, 0), (0, -size), (0, size)):
            view.pen.ellipse((x + across - size, y + down - size, x + across + size, y + down + size), "#f7d6e6")
        view.pen.ellipse((x - size, y - size, x + size, y + size), "#f4c430")
    return view.age(95, blur=1.0)


SCENES = scenes("plain", dusk, mountains, triangles, lights, meadow)
