"""Settings: from the environment and `.env`, checked at the start, with errors that name the variable."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import SecretStr
from yarl import URL

from indexer.cli.main import main
from indexer.errors import SettingsError
from indexer.settings import Settings


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    monkeypatch.chdir(tmp_path)


def test_everything_has_a_default():
    settings = Settings.load()
    assert settings.dsn == "postgresql://postgres:postgres@database:5432/immich"
    assert settings.tasks == ("clip", "ocr")
    assert settings.threads >= 1


@pytest.mark.parametrize(
    ("device", "is_one"), [("openvino:GPU", True), ("cuda", True), ("openvino:CPU", False), ("GPU", False)]
)
def test_devices(monkeypatch, device, is_one):
    monkeypatch.setenv("DEVICE", device)
    if is_one:
        assert Settings.load().device == device
    else:
        with pytest.raises(SettingsError, match="DEVICE"):
            Settings.load()


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


@pytest.mark.parametrize(("written", "host"), [("::1", "[::1]"), ("[fe80::2]", "[fe80::2]"), ("a,b.c", "a:1,b.c")])
def test_hosts(monkeypatch, written, host):
    monkeypatch.setenv("DB_HOSTNAME", written)
    monkeypatch.setenv("DB_PORT", "1")
    assert Settings.load().dsn == f"postgresql://postgres:postgres@{host}:1/immich"


@pytest.mark.parametrize(
    ("mode", "sslmode"),
    [
        ("disable", "disable"),
        ("allow", "prefer"),
        ("prefer", "prefer"),
        ("require", "require"),
        ("no-verify", "no-verify"),
        ("verify-full", "verify-full"),
    ],
)
def test_immichs_mode_of_tls_is_ours(monkeypatch, mode, sslmode):
    monkeypatch.setenv("DB_SSL_MODE", mode)
    assert Settings.load().dsn.endswith(f"/immich?sslmode={sslmode}")
    monkeypatch.setenv("DB_URL", "postgresql://u:p@h/d")
    assert Settings.load().dsn == f"postgresql://u:p@h/d?sslmode={sslmode}"
    monkeypatch.setenv("DB_URL", "postgresql://u:p@h/d?sslmode=require")
    assert Settings.load().dsn == "postgresql://u:p@h/d?sslmode=require", "the URL wins"


def test_a_mode_that_needs_a_certificate_is_refused_at_the_start(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)
    monkeypatch.setenv("DB_SSL_MODE", "verify-ca")
    with pytest.raises(SettingsError, match=r"DB_SSL_MODE: .*sslrootcert"):
        Settings.load()


def test_an_empty_variable_is_none(monkeypatch):
    """As compose writes `DB_PORT: ${DB_PORT:-}`, and as Immich reads it."""
    for name in Settings.model_fields:
        monkeypatch.setenv(name.upper(), "")
    assert Settings.load().dsn == "postgresql://postgres:postgres@database:5432/immich"


# Immich 3.1, server/src/dtos/env.dto.ts and docs/install/environment-variables.md.
IMMICHS = {
    "DB_URL",
    "DB_HOSTNAME",
    "DB_PORT",
    "DB_USERNAME",
    "DB_PASSWORD",
    "DB_DATABASE_NAME",
    "DB_SSL_MODE",
    "DB_VECTOR_EXTENSION",
    "DB_SKIP_MIGRATIONS",
    "DB_STORAGE_TYPE",
    "DB_DATA_LOCATION",
}
# Which extension makes the column, whether Immich changes its own tables, how its container tunes and keeps PostgreSQL.
NOT_OURS = {"DB_VECTOR_EXTENSION", "DB_SKIP_MIGRATIONS", "DB_STORAGE_TYPE", "DB_DATA_LOCATION"}
IN_FILES = {"DB_URL", "DB_HOSTNAME", "DB_DATABASE_NAME", "DB_USERNAME", "DB_PASSWORD"}


def test_no_variable_of_immichs_about_its_database_is_dropped():
    ours = {name.upper() for name in Settings.model_fields if name.startswith("db_")}
    assert ours == IMMICHS - NOT_OURS


@pytest.mark.parametrize("name", [*sorted(IN_FILES), "IMMICH_API_KEY", "GATEWAY_TOKEN", "MT_PHOTOS_API_KEY"])
@pytest.mark.parametrize("how", ["variable", ".env", "systemd"])
def test_a_setting_in_a_file(monkeypatch, tmp_path, name, how):
    value = "postgresql://u:p@h/d" if name == "DB_URL" else "from-the-file"
    (tmp_path / name).write_text(f"{value}\n")
    monkeypatch.setenv(name, "postgresql://other" if name == "DB_URL" else "other-value")
    if how == "variable":
        monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    elif how == ".env":
        (tmp_path / ".env").write_text(f"{name}_FILE={tmp_path / name}\n")
    else:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    found = getattr(Settings.load(), name.lower())
    assert (found.get_secret_value() if isinstance(found, SecretStr) else found) == value


def test_a_file_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD_FILE", "/run/secrets/none")
    with pytest.raises(SettingsError, match="DB_PASSWORD_FILE: cannot read /run/secrets/none: No such file"):
        Settings.load()


@pytest.mark.parametrize(
    "name", ["IMMICH_URL", "IMMICH_PUBLIC_URL", "IMMICH_ML_URL", "IMMICH_API", "HF_ENDPOINT", "MODELSCOPE_ENDPOINT"]
)
@pytest.mark.parametrize(
    "wrong",
    [
        "photos:2283",
        "http://",
        "ftp://u:SECRET@h",
        "http://u:SECRET@h:port",
        "http://h/?a",
        "http://a b",
        "http://u:SE#CRET@h",
    ],
)
def test_wrong_addresses_are_named_but_not_quoted(monkeypatch, name, wrong):
    monkeypatch.setenv(name, wrong)
    with pytest.raises(SettingsError, match=rf"\b{name}\b[^:]*: no address like https?://\S+$") as caught:
        Settings.load()
    assert "CRET" not in str(caught.value)


def test_addresses(monkeypatch):
    monkeypatch.setenv("IMMICH_ML_URL", " http://ml:3003/ , https://other/ml,")
    monkeypatch.setenv("IMMICH_URL", "http://immich:2283/api/")
    monkeypatch.setenv("HF_ENDPOINT", "https://hf-mirror.com/")
    settings = Settings.load()
    assert settings.ml_urls == [URL("http://ml:3003"), URL("https://other/ml")]
    assert settings.immich_pages == "http://immich:2283"
    assert settings.hf_endpoint == "https://hf-mirror.com"
    assert Settings.load(immich_ml_url="").ml_urls == []


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
        ("DB_URL", "mysql://u:hunter2@h/d"),
        ("DB_HOSTNAME", "db.example.org:6543"),
        ("DB_HOSTNAME", "postgresql://db"),
        ("DB_SSL_MODE", "nonsense"),
        ("DB_PORT", "none"),
        ("DB_PORT", "70000"),
        ("TASKS", " ,"),
        ("TASKS", "clip,faces"),
        ("DEVICE", "tpu"),
        ("CPU_THREADS", "-1"),
        ("MEDIA_PATH_MAP", "/data"),
        ("MEDIA_PATH_MAP", "/data=/a;/data=/b"),
        ("MAX_ATTEMPTS", "0"),
        ("LEASE_SECONDS", "0"),
        ("OCR_MIN_TEXT_SCORE", "80"),
        ("LOG_LEVEL", "loud"),
        ("CLIP_PRECISION", "int4"),
    ],
)
def test_what_is_wrong_is_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        Settings.load()


def test_the_doctor_reports_a_wrong_setting_as_a_finding(monkeypatch):
    monkeypatch.setenv("DB_URL", "postgresql://immich:pa#SECRET@127.0.0.1:5432/immich")
    done = CliRunner().invoke(main, ["doctor"])
    assert done.exit_code == 1
    assert done.stdout.startswith("fails  settings: wrong settings: DB_URL: ")
    assert "%23" in done.stdout
    assert "SECRET" not in done.output


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
