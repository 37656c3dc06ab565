"""Random Chinese captions of a scene: complete or partial, in several wordings."""

from dataclasses import dataclass
from random import Random

from indexer.demo.drawn.scenes import Fact, Group, Scene

_NUMBERS = ("", "一", "两", "三", "四")
_PAGE = ("一页文字", "写着字的纸", "有字的纸", "文字", "一张表格上的字")


@dataclass(frozen=True)
class Caption:
    """A text, and the facts it states."""

    text: str
    facts: frozenset[Fact]

    def true_of(self, scene: Scene) -> bool:
        """Whether it also describes that scene."""
        return self.facts <= scene.facts()


def caption(scene: Scene, chance: Random, *, whole: bool = False) -> Caption:
    """A random caption. `whole`: it says everything that can be said of the scene."""
    if not scene.groups:
        return Caption(chance.choice(_PAGE), frozenset({("page",)}))
    facts: set[Fact] = set()
    place = scene.place if scene.place and (whole or chance.random() < 0.6) else None
    if place:
        facts.add(("place", place))
    if scene.relation and (whole or chance.random() < 0.75):
        said = _two(scene, chance, facts, whole=whole)
    else:
        said = _one(chance.choice(scene.groups), chance, facts, whole=whole)
    if place:
        said = chance.choice((f"{place}，{said}", f"{said}，{place}", f"{place}{said}"))
    return Caption(said, frozenset(facts))


def name(scene: Scene, chance: Random) -> Caption:
    """The shortest caption: one single fact about a scene, such as its place or a colour in it."""
    if not scene.groups:
        return caption(scene, chance)
    group, facts = chance.choice(scene.groups), set[Fact]()
    noun, _ = _noun(group, chance, facts, whole=False)
    short = [
        Caption(noun, frozenset(facts)),
        Caption(group.thing.name, frozenset({("has", group.thing.name, None)})),
        Caption(f"{group.colour}色", frozenset({("has", None, group.colour)})),
    ]
    if group.position:
        short.append(Caption(group.position, frozenset({("at", None, None, group.position)})))
    if scene.place:
        short.append(Caption(scene.place, frozenset({("place", scene.place)})))
    if len(group.points) > 1:
        number = f"{_NUMBERS[len(group.points)]}{group.thing.measure}"
        short.append(Caption(number, frozenset({("count", None, None, len(group.points))})))
    return chance.choice(short)


def _one(group: Group, chance: Random, facts: set[Fact], *, whole: bool) -> str:
    noun, colour = _noun(group, chance, facts, whole=whole)
    counted = whole or chance.random() < 0.7
    if counted:
        facts.add(("count", group.thing.name, colour, len(group.points)))
        noun = f"{_NUMBERS[len(group.points)]}{group.thing.measure}{noun}"
    if group.position and (whole or chance.random() < 0.6):
        at = group.position
        facts.add(("at", group.thing.name, colour, at))
        return chance.choice((f"{at}有{noun}", f"{noun}在{at}", f"{at}的{noun}"))
    return noun


def _two(scene: Scene, chance: Random, facts: set[Fact], *, whole: bool) -> str:
    relation, (one, other) = str(scene.relation), scene.groups
    (a, a_colour), (b, b_colour) = (_noun(group, chance, facts, whole=whole) for group in (one, other))
    if chance.random() < 0.4:
        a, b = (f"一{group.thing.measure}{noun}" for group, noun in ((one, a), (other, b)))
    if not whole and chance.random() < 0.3:
        return chance.choice((f"{a}和{b}", f"{b}和{a}"))
    facts.add(("beside", one.thing.name, a_colour, relation, other.thing.name, b_colour))
    return chance.choice(
        (f"{a}在{b}的{relation}", f"{a}在{b}{relation}", f"{b}的{relation}有{a}", f"{b}的{relation}是{a}")
    )


def _noun(group: Group, chance: Random, facts: set[Fact], *, whole: bool) -> tuple[str, str | None]:
    """For example `红色的圆`, and the colour if it is mentioned."""
    name = chance.choice(group.thing.names) if chance.random() < 0.5 else group.thing.name
    colour = group.colour if whole or chance.random() < 0.85 else None
    facts.add(("has", group.thing.name, colour))
    if colour is None:
        return name, None
    return chance.choice((f"{colour}色的{name}", f"{colour}色的{name}", f"{colour}色{name}", f"{colour}{name}")), colour
