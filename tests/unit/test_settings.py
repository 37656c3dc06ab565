"""Settings: from the environment and `.env`, checked at the start, with errors that name the variable."""

from pathlib import Path

import pytest

from indexer.errors import SettingsError
from indexer.settings import Settings, settings_table


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)


def test_everything_has_a_default():
    settings = Settings.load()
    assert settings.dsn == "postgresql://postgres:postgres@database:5432/immich"
    assert settings.tasks == ("clip", "ocr")
    assert settings.threads >= 1


def test_immichs_own_names_are_understood(monkeypatch):
    for name, value in {
        "DB_HOSTNAME": "db.example.org",
        "DB_PORT": "6543",
        "DB_USERNAME": "me@home",
        "DB_PASSWORD": "p:a/s@s word",
        "DB_DATABASE_NAME": "my photos",
    }.items():
        monkeypatch.setenv(name, value)
    assert Settings.load().dsn == "postgresql://me%40home:p%3Aa%2Fs%40s%20word@db.example.org:6543/my%20photos"


def test_a_socket_directory_is_a_host(monkeypatch):
    monkeypatch.setenv("DB_HOSTNAME", "/run/postgresql")
    assert Settings.load().dsn == "postgresql://postgres:postgres@/immich?host=/run/postgresql&port=5432"


def test_one_url_wins_over_its_parts(monkeypatch):
    monkeypatch.setenv("DB_URL", "postgresql://u:p@h/d")
    monkeypatch.setenv("DB_HOSTNAME", "elsewhere")
    assert Settings.load().dsn == "postgresql://u:p@h/d"


def test_the_environment_wins_over_the_file(monkeypatch, tmp_path):
    (tmp_path / ".env").write_text("DB_HOSTNAME=from-file\nDB_PORT=1234\nSOMETHING_OF_IMMICHS=7\n")
    monkeypatch.setenv("DB_PORT", "4321")
    settings = Settings.load()
    assert (settings.db_hostname, settings.db_port) == ("from-file", 4321)


@pytest.mark.parametrize(
    ("text", "tasks"),
    [("clip", ("clip",)), ("ocr, clip", ("ocr", "clip")), ("ocr,ocr", ("ocr",)), (" clip ,", ("clip",))],
)
def test_tasks_are_a_list(monkeypatch, text, tasks):
    monkeypatch.setenv("TASKS", text)
    assert Settings.load().tasks == tasks


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PORT", "none"),
        ("DB_PORT", "70000"),
        ("TASKS", ""),
        ("TASKS", "clip,faces"),
        ("DEVICE", "tpu"),
        ("CPU_THREADS", "-1"),
        ("MEDIA_PATH_MAP", "/data"),
        ("MEDIA_PATH_MAP", "/data=/a;/data=/b"),
        ("MAX_ATTEMPTS", "0"),
        ("LEASE_SECONDS", "0"),
        ("OCR_MIN_TEXT_SCORE", "80"),
        ("LOG_LEVEL", "loud"),
        ("CLIP_PRECISION", "int8"),
    ],
)
def test_what_is_wrong_is_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        Settings.load()


def test_everything_that_is_wrong_is_named_at_once(monkeypatch):
    monkeypatch.setenv("DB_PORT", "x")
    monkeypatch.setenv("DEVICE", "y")
    with pytest.raises(SettingsError, match=r"DB_PORT: .*; DEVICE: "):
        Settings.load()


def test_a_password_is_in_no_text(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    monkeypatch.setenv("DB_URL", "postgresql://u:hunter3@h/d")
    assert "hunter" not in repr(Settings.load())
    monkeypatch.setenv("DB_PORT", "x")
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    assert "hunter" not in str(caught.value)


def test_paths_are_mapped(monkeypatch):
    monkeypatch.setenv("MEDIA_PATH_MAP", "/data=/mnt/photos; /external=/mnt/nas")
    path_map = Settings.load().path_map()
    assert path_map("/data/thumbs/a.jpeg") == Path("/mnt/photos/thumbs/a.jpeg")
    assert path_map("/external/b.jpeg") == Path("/mnt/nas/b.jpeg")


def test_home_is_expanded(monkeypatch):
    monkeypatch.setenv("CLIP_DOWNLOAD_ROOT", "~/weights")
    assert Settings.load().clip_download_root == Path.home() / "weights"


def test_the_table_lists_every_setting_once():
    lines = settings_table().splitlines()[2:]
    assert [line.split("`")[1] for line in lines] == [name.upper() for name in Settings.model_fields]
    assert all(line.count(" | ") >= 2 and line.split("|")[-2].strip() for line in lines), "each is described"
