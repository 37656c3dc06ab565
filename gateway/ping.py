"""`python -m gateway.ping`: the health check of a container. It tells whether the gateway on this host is ready."""

import sys
from urllib.error import HTTPError
from urllib.request import urlopen

from indexer.errors import IndexerError, words_of
from indexer.settings import Settings

WAITING = "waiting for weights"
"""The answer to /ping of a gateway that can do everything but search by meaning."""


def trouble(settings: Settings) -> str | None:
    """What is wrong with the gateway on this host, in words without its token. None while it is ready.

    Also None where only weights are missing.
    """
    token = settings.gateway_token
    prefix = f"/{token.get_secret_value()}" if token else ""
    try:
        with urlopen(f"http://127.0.0.1:{settings.gateway_port}{prefix}/ping", timeout=5):
            return None
    except HTTPError as error:
        said = error.read(200).decode(errors="replace")
        if said == WAITING:  # it does everything else, and a restart would not help
            return None
        return f"the gateway is not ready: {said} (status {error.code})"
    except OSError as error:
        return f"no gateway on port {settings.gateway_port}: {words_of(error)}"


def main() -> None:
    """Exit with 0, or print the reason and exit with 1."""
    try:
        found = trouble(Settings.load())
    except IndexerError as error:
        found = str(error)
    if found:
        sys.exit(found)


if __name__ == "__main__":
    main()
