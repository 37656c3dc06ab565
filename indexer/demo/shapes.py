"""Pictures without text, to be found by what they show. The demo's own small CLIP model knows these shapes."""

from pathlib import Path

from indexer.demo.drawn.captions import Caption
from indexer.demo.drawn.scenes import Group, Scene, draw
from indexer.demo.drawn.things import THINGS
from indexer.demo.pictures import Drawn

_BY_NAME = {thing.name: thing for thing in THINGS}
_MIDDLE = (0.5, 0.5)


def _some(name: str, colour: str, *points: tuple[float, float]) -> Group:
    return Group(_BY_NAME[name], colour, points or (_MIDDLE,), 0.15 if points else 0.22, None if points else "中间")


_CAT = Group(_BY_NAME["猫"], "黑", ((0.24, 0.5),), 0.21, "左边")
_UMBRELLA = Group(_BY_NAME["雨伞"], "红", ((0.76, 0.52),), 0.21, "右边")
SCENES: dict[str, Scene] = {
    "red-circle": Scene((_some("圆", "红"),), None, None, 1),
    "blue-circle": Scene((_some("圆", "蓝"),), None, None, 2),
    "red-square": Scene((_some("正方形", "红"),), None, None, 3),
    "three-butterflies": Scene((_some("蝴蝶", "紫", (0.2, 0.3), (0.52, 0.7), (0.8, 0.25)),), None, None, 4),
    "two-trees": Scene((_some("树", "橙", (0.25, 0.5), (0.72, 0.55)),), None, "草地上", 5),
    "boat-at-sea": Scene((_some("船", "红"),), None, "海上", 6),
    "moon-at-night": Scene((_some("月亮", "黄"),), None, "夜里", 7),
    "cat-and-umbrella": Scene((_CAT, _UMBRELLA), "左边", None, 8),
}
SEARCHES = (
    Caption("红色的圆", frozenset({("has", "圆", "红")})),
    Caption("蓝色的圆", frozenset({("has", "圆", "蓝")})),
    Caption("三只蝴蝶", frozenset({("count", "蝴蝶", None, 3)})),
    Caption("草地上的两棵树", frozenset({("count", "树", None, 2), ("place", "草地上")})),
    Caption("海上有一艘船", frozenset({("count", "船", None, 1), ("place", "海上")})),
    Caption("夜里黄色的月亮", frozenset({("has", "月亮", "黄"), ("place", "夜里")})),
    Caption("黑色的猫和红色的雨伞", frozenset({("has", "猫", "黑"), ("has", "雨伞", "红")})),
)
"""The searches of the demo. None of their words is written on any picture."""


def draw_shapes(directory: Path) -> list[Drawn]:
    """Draws every scene into a directory as `shapes-<name>.jpeg`, as Immich would make its preview."""
    directory.mkdir(parents=True, exist_ok=True)
    drawn = []
    for name, scene in SCENES.items():
        path = directory / f"shapes-{name}.jpeg"
        draw(scene, 1440, 1080).save(path, quality=80)
        drawn.append(Drawn(f"shapes-{name}", "shapes", [], path))
    return drawn


def shown_by(caption: Caption) -> list[str]:
    """The names of the files that a caption is true of."""
    return [f"shapes-{name}.jpeg" for name, scene in SCENES.items() if caption.true_of(scene)]
