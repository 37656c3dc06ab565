"""Logs: readable for people and for machines, and without passwords in either form."""

import json
from collections.abc import Iterator

import pytest
import structlog

from indexer import logs

URL = "postgresql://immich:hunter2@db:5432/immich"
LEAKS = [
    URL,
    f"cannot connect to {URL}: refused",
    "postgresql://immich:hunter2@hunter2@db/immich",
    "postgresql://immich:hunter2/hunter2:hunter2@db/immich",
    "postgresql://:hunter2@db/immich",
    "postgresql://db/immich?user=a&password=hunter2&sslmode=disable",
    "host=db user=a PASSWORD=hunter2 dbname=immich",
]


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before = structlog.get_config()
    yield
    structlog.configure(**before)


@pytest.mark.parametrize("form", ["human", "json"])
@pytest.mark.parametrize("leak", LEAKS)
def test_no_password_is_logged(capsys, form, leak):
    logs.configure("debug", form)
    log = structlog.get_logger()
    log.info(leak, error=leak)
    try:
        dsn = leak
        raise RuntimeError(f"{dsn} is not there")
    except RuntimeError:
        log.exception("failed")
    text = capsys.readouterr().err
    assert "hunter2" not in text
    assert "***" in text
    assert "RuntimeError" in text


def test_machines_get_an_object_a_line(capsys):
    logs.configure("info", "auto")
    log = structlog.get_logger()
    log.debug("not this")
    log.info("indexed", photo="发票", count=3)
    log.warning("slow")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert (first["event"], first["level"], first["photo"], first["count"]) == ("indexed", "info", "发票", 3)
    assert first["timestamp"].endswith("Z")
    assert second["level"] == "warning"


def test_people_get_text(capsys):
    logs.configure("warning", "human")
    log = structlog.get_logger()
    log.info("not this")
    log.error("something broke", photo="发票")
    (line,) = capsys.readouterr().err.splitlines()
    assert "something broke" in line
    assert "发票" in line


def test_nothing_goes_to_standard_output(capsys):
    logs.configure("debug", "json")
    structlog.get_logger().error("to the other stream")
    assert capsys.readouterr().out == ""
