"""DB_URL: as Immich and PostgreSQL read it, and refused in words that quote no part of a password."""

import os
import ssl
from pathlib import Path

import asyncpg
import pytest

from indexer.database.dsn import Dsn


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("PG")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("postgres://u:p@h/d", "postgresql://u:p@h/d"),
        (" postgresql://u:p%23@h:1/my%20photos\n", "postgresql://u:p%23@h:1/my%20photos"),
        ("postgresql://[::1]:6/d", "postgresql://[::1]:6/d"),
        ("postgresql://a:1,b:2/d?target_session_attrs=primary", "postgresql://a:1,b:2/d?target_session_attrs=primary"),
        ("postgresql://%2Frun%2Fpostgresql/d", "postgresql://%2Frun%2Fpostgresql/d"),
        ("postgresql:///d?host=/run/postgresql&port=1", "postgresql:///d?host=/run/postgresql&port=1"),
        ("postgresql://h?dbname=d&user=u", "postgresql://h/d?user=u"),
        # node-postgres
        ("socket://u:p%2F@/run/postgresql?db=d&encoding=utf8", "postgresql://u:p%2F@/d?host=/run/postgresql"),
        ("postgresql://h/d?sslmode=require&sslmode=no-verify", "postgresql://h/d?sslmode=no-verify"),
        ("postgresql://h/d?sslmode=require&uselibpqcompat=true", "postgresql://h/d?sslmode=require"),
        ("postgresql://h/d?ssl=true", "postgresql://h/d?sslmode=verify-full"),
        ("postgresql://h/d?ssl=0", "postgresql://h/d?sslmode=disable"),
        # libpq's that change nothing for us
        (
            "postgresql://h/d?keepalives=1&tcp_user_timeout=9&application_name=x&channel_binding=prefer",
            "postgresql://h/d",
        ),
        ("postgresql://h/d?options=-c%20jit%3Doff", "postgresql://h/d?options=-c%20jit%3Doff"),
    ],
)
def test_what_is_understood(text, read):
    assert str(Dsn.parse(text)) == read
    assert str(Dsn.parse(read)) == read


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mysql://u:SECRET@h/d", "postgresql://user:password@host:5432/immich"),
        ("SECRET", "postgresql://user:password@host:5432/immich"),
        ("postgresql://immich:SECRET", "host:port"),
        ("postgresql://u:SECRET@h:port/d", "host:port"),
        ("postgresql://u:SECRET@h:0/d", "host:port"),
        ("postgresql://u:SECRET@h\n/d", "line break"),
        ("postgresql://h/d?schema=public", "'schema'"),
        ("postgresql://h/d?search_path=public", r"'search_path'.*options=-c"),
        ("postgresql://h/d?hostaddr=1.2.3.4", "'hostaddr'"),
        ("postgresql://h/d?channel_binding=require", "channel_binding may be disable or prefer"),
        ("postgresql://h/d?sslmode=sure", "sslmode may be .*no-verify"),
        ("postgresql://h/d?sslrootcert=/nowhere/root.crt", "sslrootcert: there is no file /nowhere/root.crt"),
        ("postgresql://h/d?sslmode=verify-ca", "sslmode=verify-ca needs .*sslrootcert"),
        ("postgresql://h/d?sslmode=require&sslrootcert=system", "sslrootcert=system needs sslmode=verify-full"),
        ("postgresql://h/d?sslnegotiation=direct", "sslnegotiation=direct needs"),
        ("postgresql://h/d?connect_timeout=soon", "connect_timeout"),
        ("postgresql://h/d?port=many", "port is a number"),
        ("postgresql://h/d?password=a&SECRET", "name=value"),
        ("postgresql://h/d?password=a&SECRET=b", "a parameter is not supported"),
        ("socket://u:SECRET@h/run?db=d", "socket://"),
    ],
)
def test_what_is_refused_says_why(text, says):
    with pytest.raises(ValueError, match=says) as caught:
        Dsn.parse(text)
    assert "SECRET" not in str(caught.value)


@pytest.mark.parametrize("password", ["LEFT{}RIGHT", "{}RIGHT", "LEFT{}", "LE{}FT{}RIGHT"])
def test_a_password_as_it_is_comes_through_or_is_refused_without_any_part_of_it(password):
    refused = set()
    for character in [*map(chr, range(0x20, 0x7F)), "密", "é"]:
        secret = password.format(character, character)
        text = f"postgresql://immich:{secret}@127.0.0.1:5432/immich?sslmode=disable"
        try:
            read = Dsn.parse(text)
        except ValueError as error:
            said = str(error)
            refused.add(character)
        else:
            assert read == Dsn((("127.0.0.1", 5432),), "immich", secret, "immich", {"sslmode": "disable"})
            assert Dsn.parse(str(read)) == read
            said = repr(read)
        assert not any(part in said for part in ("LEFT", "RIGHT", "LE", "FT"))
        assert character not in refused or "%23" in said
    assert refused == {"/", "?", "#"}


def test_the_limit_for_connecting_can_only_be_shortened():
    assert Dsn.parse("postgresql://h/d?connect_timeout=3").arguments(10) == {"timeout": 3, "dsn": "postgresql://h/d"}
    assert Dsn.parse("postgresql://h/d?connect_timeout=30").arguments(10)["timeout"] == 10
    assert Dsn.parse("postgresql://h/d?connect_timeout=0").arguments(10)["timeout"] == 10


def context_of(query: str) -> ssl.SSLContext | None:
    return Dsn.parse(f"postgresql://h/d?{query}").arguments(1).get("ssl")


def test_what_asyncpg_knows_of_tls_is_left_to_it(tmp_path):
    (tmp_path / "root.crt").touch()
    for query in (
        "sslmode=disable",
        "sslmode=prefer",
        "sslmode=require",
        f"sslmode=verify-full&sslrootcert={tmp_path}/root.crt",
    ):
        assert context_of(query) is None
        assert query in Dsn.parse(f"postgresql://h/d?{query}").arguments(1)["dsn"]


def test_node_postgres_no_verify_verifies_nothing():
    context = context_of("sslmode=no-verify&ssl_min_protocol_version=TLSv1.3")
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_NONE, False)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3


@pytest.mark.parametrize("query", ["sslmode=verify-full", "sslrootcert=system", "ssl=true"])
def test_the_systems_certificates_are_those_of_nobody_says_otherwise(query):
    context = context_of(query)
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_libpqs_own_places_for_certificates_come_first(monkeypatch, tmp_path):
    (tmp_path / "own.crt").touch()
    monkeypatch.setenv("PGSSLROOTCERT", str(tmp_path / "own.crt"))
    assert context_of("sslmode=verify-full") is None, "asyncpg takes those"
    monkeypatch.setenv("PGSSLROOTCERT", "system")
    assert context_of("sslmode=verify-full").check_hostname


async def test_asyncpg_takes_it():
    """Whatever it would raise of the address's form it raises before it connects."""
    for url in (
        "postgresql://u:p%23@127.0.0.1:1/d?options=-c%20jit%3Doff&gsslib=gssapi",
        "postgresql://[::1]:1/d?sslmode=no-verify",
    ):
        with pytest.raises(ConnectionRefusedError):
            await asyncpg.connect(**Dsn.parse(url).arguments(5))
