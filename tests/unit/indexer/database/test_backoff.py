"""Pauses grow while the database refuses, and only then."""

import asyncpg
import pytest

from indexer.database.backoff import Backoff
from indexer.errors import SchemaError


@pytest.mark.parametrize(
    "refusal",
    [
        asyncpg.InsufficientPrivilegeError("permission denied"),
        asyncpg.UndefinedTableError("no such table"),
        asyncpg.InvalidSchemaNameError("no such schema"),
        asyncpg.InvalidPasswordError("password authentication failed"),
        SchemaError("run sql/role.sql"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_while_it_refuses(refusal: Exception):
    backoff = Backoff(5)
    assert [backoff.after(refusal) for _ in range(6)] == [5, 10, 20, 40, 60, 60]
    assert backoff.after(None) == 5
    assert backoff.after(refusal) == 5


def test_other_trouble_passes_soon():
    backoff = Backoff(2)
    for trouble in (
        ConnectionError(),
        TimeoutError(),
        asyncpg.CannotConnectNowError(),
        asyncpg.DeadlockDetectedError(),
    ):
        assert [backoff.after(trouble) for _ in range(5)] == [2] * 5


def test_a_long_pause_is_never_cut_short():
    assert Backoff(300).after(SchemaError("no")) == 300
