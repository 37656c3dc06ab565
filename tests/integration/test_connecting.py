"""Connecting: TLS as the settings have it, what is wrong said at once, what passes waited for."""

import asyncio
import contextlib
import getpass
import os
import shutil
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import asyncpg
import pytest
from aiohttp.test_utils import unused_port

from indexer.database.pool import connect, open_pool
from indexer.database.refusal import RefusedError
from indexer.database.trouble import explain
from indexer.demo.server import EmbeddedServer, on_server
from indexer.settings import Settings
from indexer.work.doctor import examine
from indexer.work.verdicts import passes
from indexer.work.worker import Models, Worker
from tests.support.stubs import StubClip, StubOcr
from tests.support.tcp import serving
from tests.support.workers import settings_for

_SSL_REQUEST = bytes.fromhex("0000000804d2162f")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `localhost` that vouches for itself, its key beside it."""
    if not shutil.which("openssl"):
        pytest.skip("needs openssl")
    folder = tmp_path_factory.mktemp("tls")
    command = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost -keyout server.key -out server.crt"
    )
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True)
    return folder / "server.crt"


@contextlib.asynccontextmanager
async def front(url: str, certificate: Path | None) -> AsyncIterator[int]:
    """The server of `url` on a port of localhost, with TLS or without: our own PostgreSQL is built without."""
    parts = urlsplit(url)
    folder = parse_qs(parts.query).get("host", [""])[0]
    context = None
    if certificate is not None:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, certificate.with_suffix(".key"))

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.readexactly(8)
        if first == _SSL_REQUEST:
            writer.write(b"N" if context is None else b"S")
            await writer.drain()
            if context is not None:
                await writer.start_tls(context)
            first = await reader.readexactly(8)
        if folder:
            theirs, to_them = await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.5432")
        else:
            theirs, to_them = await asyncio.open_connection(parts.hostname, parts.port or 5432)
        try:
            to_them.write(first)
            await asyncio.gather(copy(reader, to_them), copy(theirs, writer))
        finally:
            to_them.transport.abort()

    async def copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            target.write(data)
            await target.drain()
        target.close()

    async with serving(serve, ["127.0.0.1", "::1"], unused_port()) as port:
        yield port


@pytest.fixture(autouse=True)
def no_certificates(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith(("PG", "DB_")) or name == "SSL_CERT_FILE"]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


def parts(url: str, port: int, **settings: object) -> Settings:
    found = urlsplit(url)
    login = {"db_username": found.username, "db_password": found.password or "x", "db_database_name": found.path[1:]}
    return Settings.load(_env_file=None, **({"db_hostname": "localhost", "db_port": port} | login | settings))


async def encrypted(settings: Settings) -> bool:
    connection = await connect(settings.dsn)
    try:
        return connection._transport.get_extra_info("ssl_object") is not None
    finally:
        await connection.close()


@pytest.mark.parametrize("mode", ["require", "no-verify", "verify-full"])
async def test_who_insists_on_tls_does_not_get_in_without(database, mode):
    async with front(database, None) as port:
        settings = parts(database, port, db_ssl_mode=mode)
        for connecting in (connect, open_pool):
            with pytest.raises(RefusedError, match="offers no TLS, which DB_SSL_MODE") as caught:
                await connecting(settings.dsn)
            assert not passes(caught.value)
        # The indexer does not wait for what no waiting brings.
        worker = Worker(settings, Models(StubClip(), StubOcr(), "cpu"))
        with pytest.raises(RefusedError):
            await worker.run()


@pytest.mark.parametrize(
    ("mode", "with_tls", "without"),
    [("disable", False, False), ("allow", True, False), ("prefer", True, False), ("require", True, None)],
)
async def test_modes_that_check_no_certificate(database, certificate, mode, with_tls, without):
    async with front(database, certificate) as port:
        assert await encrypted(parts(database, port, db_ssl_mode=mode)) is with_tls
    if without is not None:
        async with front(database, None) as port:
            assert await encrypted(parts(database, port, db_ssl_mode=mode)) is without


async def test_verify_full_checks_the_certificate(database, certificate, monkeypatch):
    async with front(database, certificate) as port:
        settings = parts(database, port, db_ssl_mode="verify-full")
        with pytest.raises(RefusedError, match=r"certificate is not trusted: self-signed .*PGSSLROOTCERT") as caught:
            await connect(settings.dsn)
        assert explain(caught.value) == str(caught.value)
        assert await encrypted(parts(database, port, db_ssl_mode="no-verify"))
        monkeypatch.setenv("PGSSLROOTCERT", str(certificate))
        assert await encrypted(settings)
        elsewhere = parts(database, port, db_ssl_mode="verify-full", db_hostname="127.0.0.1")
        with pytest.raises(RefusedError, match=r"certificate is not trusted: .*127.0.0.1"):
            await connect(elsewhere.dsn)


@pytest.mark.parametrize(
    ("options", "says"), [("-c nonsense=1", "nonsense"), ("-c jit=maybe", "jit"), ("-c wal_level=minimal", "wal_level")]
)
async def test_options_that_the_server_does_not_take_end_it_at_once(database, options, says):
    url = f"{database}{'&' if '?' in database else '?'}options={options.replace(' ', '%20').replace('=', '%3D')}"
    with pytest.raises(RefusedError, match=rf"refuses what DB_URL asks for: .*{says}") as caught:
        await connect(url)
    assert not passes(caught.value)


async def test_a_role_that_may_not_connect_does_not_pass_by_waiting(database, connection):
    name, role = urlsplit(database).path[1:], f"outsider_{os.getpid()}"
    await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'x'; REVOKE CONNECT ON DATABASE {name} FROM PUBLIC")
    try:
        with pytest.raises(RefusedError, match=rf"permission denied for database .{name}.*run sql/role.sql") as caught:
            await connect(on_server(database, name, f"{role}:x"))
        assert not passes(caught.value)
    finally:
        await connection.execute(f"DROP ROLE {role}")


async def test_an_unknown_database_does_not_pass_by_waiting(database):
    unknown = urlsplit(database)._replace(path="/nowhere").geturl()
    with pytest.raises(asyncpg.InvalidCatalogNameError) as caught:
        await connect(unknown)
    assert not passes(caught.value)
    assert explain(caught.value) == 'database "nowhere" does not exist (check DB_DATABASE_NAME)'


async def test_the_indexer_waits_for_a_server_that_comes_later(own_immich, private_server: EmbeddedServer, tmp_path):
    url, _ = own_immich
    private_server.stop()
    worker = Worker(settings_for(url, tmp_path), Models(StubClip(), StubOcr(), "cpu"))
    task = asyncio.create_task(worker.run())
    with pytest.raises(FileNotFoundError) as caught:
        await connect(url)
    assert passes(caught.value)
    await asyncio.to_thread(private_server.start)
    await worker.listener.listening.wait()
    worker.stop()
    await task


@pytest.fixture(params=["session", "transaction"])
def mode(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def pooler(database: str, mode: str, tmp_path: Path) -> Iterator[list[str]]:
    """Addresses of pgbouncer: as it is delivered, and told to ignore what it does not know."""
    program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
    folder = parse_qs(urlsplit(database).query).get("host", [""])[0]
    if program is None or not folder:
        pytest.skip("needs pgbouncer, and a PostgreSQL of our own")
    asked = "search_path,jit,lock_timeout,idle_in_transaction_session_timeout,synchronous_commit"
    started, addresses = [], []
    (tmp_path / "users").write_text('"postgres" ""\n')
    for number, more in enumerate(("", f"ignore_startup_parameters = {asked}\n")):
        port, here = unused_port(), tmp_path / f"bouncer{number}"
        here.mkdir(mode=0o777)
        here.chmod(0o777)
        (tmp_path / f"{number}.ini").write_text(
            f"[databases]\n* = host={folder} port=5432\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n"
            f"auth_type = trust\nauth_file = {tmp_path}/users\npool_mode = {mode}\nunix_socket_dir =\n{more}"
        )
        addresses.append(f"postgresql://postgres@127.0.0.1:{port}{urlsplit(database).path}?sslmode=disable")
        started.append((program, str(tmp_path / f"{number}.ini")))
    processes = []
    for command in started:
        user = ["--user=postgres"] if getpass.getuser() == "root" else []
        processes.append(subprocess.Popen([command[0], *user, command[1]], stderr=subprocess.DEVNULL))
    try:
        yield addresses
    finally:
        for process in processes:
            process.terminate()
            process.wait()


async def refusal_of(address: str) -> BaseException:
    while True:
        try:
            connection = await connect(address)
        except ConnectionRefusedError:  # it is starting
            await asyncio.sleep(0.02)
        except RefusedError as error:
            return error
        else:
            await connection.close()
            raise AssertionError("it was let in")


async def test_a_pooler_is_refused_with_a_sentence(pooler, tmp_path):
    """Its sessions have no limit for locks, lose our statements, and are Immich's a moment later."""
    for address in pooler:
        error = await refusal_of(address)
        assert "connection pooler" in explain(error)
        assert not passes(error)
        findings = await examine(settings_for(address, tmp_path))
        (found,) = [finding for finding in findings if finding.check == "connection"]
        assert (found.verdict, found.text) == ("fails", explain(error))
        with pytest.raises(RefusedError, match="connect to PostgreSQL itself"):
            await Worker(settings_for(address, tmp_path), Models(StubClip(), StubOcr(), "cpu")).run()
