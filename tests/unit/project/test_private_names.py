"""Tests change nothing private: what they want otherwise is a parameter, or a public name."""

import ast
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]
CHANGES = {"setattr", "setitem", "delattr", "delitem"}  # of monkeypatch


def is_private(name: str) -> bool:
    return any(part.startswith("_") and not part.startswith("__") for part in name.split("."))


def reaches_in(node: ast.expr) -> bool:
    """Whether it names something private of another object's."""
    if isinstance(node, ast.Subscript):
        return reaches_in(node.value)
    if not isinstance(node, ast.Attribute):
        return False
    own = isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")
    return (is_private(node.attr) and not own) or reaches_in(node.value)


def changes(source: str) -> list[int]:
    """The lines that change something private."""
    lines = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign | ast.AugAssign | ast.AnnAssign | ast.Delete):
            targets = node.targets if isinstance(node, ast.Assign | ast.Delete) else [node.target]
            found = any(reaches_in(target) for target in targets)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CHANGES:
            target, *rest = node.args
            names = [one.value for one in (target, *rest[:1]) if isinstance(one, ast.Constant)]
            item = node.func.attr.endswith("item")
            found = reaches_in(target) or (not item and any(is_private(str(name)) for name in names))
        else:
            continue
        if found:
            lines.append(node.lineno)
    return lines


def test_no_test_changes_a_private_name():
    found = [
        f"{path.relative_to(TESTS)}:{line}"
        for path in sorted(TESTS.rglob("*.py"))
        for line in changes(path.read_text(encoding="utf-8"))
    ]
    assert found == []


@pytest.mark.parametrize(
    "line",
    [
        'monkeypatch.setattr("indexer.work.worker._IDLE", 0.1)',
        'monkeypatch.setattr(worker, "_IDLE", 0.1)',
        'patch.setattr(faces._recogniser, "find", None)',
        'monkeypatch.setitem(claims._SQL, "heartbeat", "")',
        "worker.listener._patience = 0.2",
        'claims._SQL["heartbeat"] = ""',
    ],
)
def test_it_is_seen(line):
    assert changes(line) == [1]


@pytest.mark.parametrize(
    "line",
    [
        "self._reached = 1",
        'monkeypatch.setattr(sample, "SIZE", 50)',
        'monkeypatch.setattr(Backoff, "__init__", None)',
        'monkeypatch.setitem(files, "_x", 1)',
    ],
)
def test_it_is_not_taken_for_one(line):
    assert changes(line) == []
