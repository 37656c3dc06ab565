from collections.abc import Callable
from dataclasses import dataclass

from indexer.demo.canvas import Canvas


@dataclass(frozen=True)
class Scene:
    """A scene to draw: its category, and the function that draws it."""

    category: str
    draw: Callable[[], Canvas]

    @property
    def name(self) -> str:
        """The name of its file, without the ending."""
        return f"{self.category}-{self.draw.__name__.replace('_', '-')}"


def scenes(category: str, *drawings: Callable[[], Canvas]) -> list[Scene]:
    """Several scenes of one category."""
    return [Scene(category, draw) for draw in drawings]
