"""The address of Immich's database: parsed, checked, and turned into arguments for asyncpg.

Accepted are PostgreSQL's own URLs, with libpq's parameters and their meaning
(https://www.postgresql.org/docs/current/libpq-connect.html). Immich reads the same variable, so what its driver accepts
is accepted too (https://github.com/brianc/node-postgres/tree/master/packages/pg-connection-string).

The text between `//` and the host may be part of a password, so no error quotes it.
"""

import os
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, Self, get_args
from urllib.parse import quote, unquote

Mode = Literal["disable", "allow", "prefer", "require", "no-verify", "verify-ca", "verify-full"]
"""Modes of TLS: libpq's, and node-postgres' `no-verify`, which encrypts but never checks the certificate."""

_FORM = "write it like postgresql://user:password@host:5432/immich"
_RESERVED = (
    "a user name or password has characters that mean something in a URL: write # as %23, / as %2F, ? as %3F, "
    "@ as %40, : as %3A and % as %25, or set DB_HOSTNAME, DB_USERNAME and DB_PASSWORD, which take any characters"
)
_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.%/-]*)(?::(?P<port>\d*))?")

# Parameters that asyncpg handles, mostly as libpq does.
_OF_CONTEXT = ("sslcert", "sslkey", "sslpassword", "sslcrl", "ssl_min_protocol_version", "ssl_max_protocol_version")
_DONE = (
    *("host", "port", "dbname", "user", "password", "passfile", "service", "options", "connect_timeout"),
    *("target_session_attrs", "krbsrvname", "gsslib", "sslmode", "sslrootcert", "sslnegotiation", *_OF_CONTEXT),
)
_FILES = ("passfile", "sslcert", "sslkey", "sslrootcert", "sslcrl")
# Parameters that change nothing for us: our own probes find a dead connection, text is always UTF-8, and we set the
# application's name ourselves.
_NEEDLESS = (
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
    *("application_name", "fallback_application_name", "client_encoding", "encoding", "load_balance_hosts"),
    *("sslcompression", "uselibpqcompat"),
)
_TLS = ("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_VALUES: Mapping[str, tuple[str, ...]] = {
    "sslmode": get_args(Mode),
    "sslnegotiation": ("postgres", "direct"),
    "ssl_min_protocol_version": _TLS,
    "ssl_max_protocol_version": _TLS,
    "target_session_attrs": ("any", "primary", "standby", "read-write", "read-only", "prefer-standby"),
    "gsslib": ("gssapi", "sspi"),
    # asyncpg does not support these parameters. These values ask for nothing that asyncpg does not do anyway.
    "channel_binding": ("disable", "prefer"),
    "gssencmode": ("disable", "prefer"),
    "sslcertmode": ("allow",),
    "sslsni": ("1",),
    "replication": ("false",),
    "max_protocol_version": ("3.0", "latest"),
    "min_protocol_version": ("3.0",),
}
_NODE_SSL = {"true": "verify-full", "1": "verify-full", "false": "disable", "0": "disable"}


@dataclass(frozen=True)
class Dsn:
    """Where the database is and who logs in. `str()` is a URL with the password: never log it.

    `hosts` are pairs (host or socket directory, port or None). Without hosts asyncpg looks where libpq would.
    """

    hosts: tuple[tuple[str, int | None], ...] = ()
    user: str = ""
    password: str = field(default="", repr=False)
    database: str = ""
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URL.

        Raises:
            ValueError: it is no such URL, or it asks for something unsupported. The text says what to write instead,
                and quotes no secret.
        """
        scheme, there, rest = text.strip().partition("://")
        parts = re.fullmatch(r"([^/?#]*)([^?#]*)(?:\?([^#]*))?", rest)
        if not there or scheme.lower() not in ("postgresql", "postgres", "socket"):
            raise ValueError(_FORM)
        if re.search(r"[\x00-\x1f\x7f]", rest):
            raise ValueError("there is a line break or another control character in it")
        if parts is None or "@" in parts[2] + (parts[3] or ""):
            raise ValueError(_RESERVED)
        login, _, place = parts[1].rpartition("@")  # the last @: a password may contain others, not escaped
        user, _, password = login.partition(":")
        parameters = _parameters(parts[3] or "")
        database = unquote(parts[2].removeprefix("/"))
        if scheme.lower() == "socket":  # node-postgres: socket://user:password@/directory?db=name
            if place:
                raise ValueError("write a socket like socket://user:password@/run/postgresql?db=immich")
            parameters["host"], database = unquote(parts[2]), ""
        dbname = parameters.pop("dbname", "")
        hosts = tuple(_host(part) for part in place.split(",")) if place else ()
        dsn = cls(hosts, unquote(user), unquote(password), database or dbname, parameters)
        dsn._check()
        return dsn

    def with_mode(self, mode: Mode) -> Self:
        """A copy with that mode of TLS, unless the URL itself names one. Raises as `parse`."""
        if "sslmode" in self.parameters:
            return self
        dsn = replace(self, parameters={**self.parameters, "sslmode": mode})
        dsn._check()
        return dsn

    def arguments(self, timeout: float) -> dict[str, Any]:
        """The arguments for asyncpg.connect.

        Args:
            timeout: seconds to wait for a connection. `connect_timeout` in the URL can only make it shorter.
        """
        given = dict(self.parameters)
        wait = float(given.pop("connect_timeout", "") or 0) or timeout
        arguments: dict[str, Any] = {"timeout": min(timeout, wait)}
        mode, root = given.get("sslmode"), given.get("sslrootcert") or _usual_root()
        by_system = root == "system" and mode not in ("disable", "allow", "prefer")
        if mode == "no-verify" or by_system or (mode == "verify-full" and root is None):
            # asyncpg supports neither no-verify nor the system's certificates.
            own = {name: given.pop(name) for name in _OF_CONTEXT if name in given}
            arguments["ssl"] = _context(verify=mode != "no-verify", **own)
            for name in ("sslmode", "sslrootcert"):
                given.pop(name, None)
        arguments["dsn"] = str(replace(self, parameters=given))
        return arguments

    def __str__(self) -> str:
        hosts = ",".join(
            (f"[{host}]" if ":" in host else quote(host, safe="")) + ("" if port is None else f":{port}")
            for host, port in self.hosts
        )
        login = quote(self.user, safe="") + (f":{quote(self.password, safe='')}" if self.password else "")
        query = "&".join(f"{name}={quote(value)}" for name, value in self.parameters.items())
        path = f"/{quote(self.database, safe='')}" if self.database else ""
        return f"postgresql://{login}{'@' if login else ''}{hosts}{path}{'?' if query else ''}{query}"

    def _check(self) -> None:
        given = self.parameters
        if not re.fullmatch(r"\d*", given.get("connect_timeout", "")):
            raise ValueError("connect_timeout is a number of seconds")
        for port in filter(None, given.get("port", "").split(",")):
            if not _is_port(port):
                raise ValueError("port is a number up to 65535")
        for name in _FILES:
            path = given.get(name, "")
            if path and (name, path) != ("sslrootcert", "system") and not os.access(path, os.R_OK):
                raise ValueError(f"{name}: there is no file {path} that may be read here")
        mode, root = given.get("sslmode", "prefer"), given.get("sslrootcert")
        if root == "system" and "sslmode" in given and mode not in ("verify-full", "no-verify"):
            raise ValueError("sslrootcert=system needs sslmode=verify-full")
        if mode == "verify-ca" and not (root or _usual_root()):
            raise ValueError("sslmode=verify-ca needs the certificate of the authority: add sslrootcert=/path/to/it")
        if given.get("sslnegotiation") == "direct" and root != "system" and mode in ("disable", "allow", "prefer"):
            raise ValueError("sslnegotiation=direct needs sslmode=require or stricter")


def _parameters(query: str) -> dict[str, str]:
    """The parameters that asyncpg needs. Of one that is given twice the last counts."""
    given: dict[str, str] = {}
    for part in filter(None, query.split("&")):
        name, equals, value = part.partition("=")
        if not equals:
            raise ValueError("after the question mark come name=value pairs, separated by &")
        given[unquote(name)] = unquote(value)
    for name in {"database", "db"} & given.keys():  # the names in asyncpg and node-postgres
        given["dbname"] = given.pop(name)
    if (mode := given.pop("ssl", None)) is not None:  # node-postgres
        given.setdefault("sslmode", _NODE_SSL.get(mode, mode))
        # The name may come from a password that contains an &, so such a name is not quoted.
    secret = not given.keys().isdisjoint({"password", "sslpassword"})
    for name, value in list(given.items()):
        if name in _VALUES:
            if value not in _VALUES[name]:
                raise ValueError(f"{name} may be {' or '.join(_VALUES[name])}")
            if name not in _DONE:
                del given[name]
        elif name in _NEEDLESS:
            del given[name]
        elif name not in _DONE:
            shown = "a parameter" if secret else f"the parameter {name!r}"
            raise ValueError(
                f"{shown} is not supported here: remove it (server settings go into options=-c%20name=value)"
            )
    return given


def _host(text: str) -> tuple[str, int | None]:
    found = _HOST.fullmatch(text)
    if found is None or not _is_port(found["port"] or "5432"):
        raise ValueError(f"{_FORM}; it has no host:port before the path, or {_RESERVED}")
    return unquote(found["host"].strip("[]")), int(found["port"]) if found["port"] else None


def _is_port(text: str) -> bool:
    return re.fullmatch(r"[0-9]{1,5}", text) is not None and 0 < int(text) < 65536


def _usual_root() -> str | None:
    """Where libpq and asyncpg look for the certificates of authorities by default."""
    # Path's own methods raise where there is no home directory, or where it is somebody else's, as in a container.
    usual = os.path.expanduser("~/.postgresql/root.crt")  # noqa: PTH111
    return os.environ.get("PGSSLROOTCERT") or (usual if os.path.isfile(usual) else None)  # noqa: PTH113


@cache
def _context(
    *,
    verify: bool,
    sslcert: str = "",
    sslkey: str | None = None,
    sslpassword: str = "",
    sslcrl: str = "",
    ssl_min_protocol_version: str = "TLSv1.2",
    ssl_max_protocol_version: str = "TLSv1.3",
) -> ssl.SSLContext:
    context = ssl.create_default_context()  # the system's certificates, or those of SSL_CERT_FILE
    context.minimum_version = ssl.TLSVersion[ssl_min_protocol_version.replace(".", "_")]
    context.maximum_version = ssl.TLSVersion[ssl_max_protocol_version.replace(".", "_")]
    context.set_alpn_protocols(["postgresql"])
    if sslcert:
        context.load_cert_chain(
            sslcert, sslkey, lambda: sslpassword
        )  # a function: otherwise OpenSSL asks on the terminal
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif sslcrl:
        context.load_verify_locations(sslcrl)
        context.verify_flags |= ssl.VERIFY_CRL_CHECK_CHAIN
    return context
