"""`python -m gateway.ping`: whether the gateway of this host is ready, for a container's health check."""

import sys
from urllib.error import HTTPError
from urllib.request import urlopen

from indexer.errors import IndexerError, words_of
from indexer.settings import Settings

WAITING = "waiting for weights"
"""The answer to /ping of a gateway that does all but search by meaning."""


def trouble(settings: Settings) -> str | None:
    """What is wrong with the gateway that listens on this host, in words without its token; None while it is ready.

    Nor where nothing is missing but weights.
    """
    token = settings.gateway_token
    prefix = f"/{token.get_secret_value()}" if token else ""
    try:
        with urlopen(f"http://127.0.0.1:{settings.gateway_port}{prefix}/ping", timeout=5):
            return None
    except HTTPError as error:
        said = error.read(200).decode(errors="replace")
        if said == WAITING:  # it does all else, and to start it anew would not help
            return None
        return f"the gateway is not ready: {said} (status {error.code})"
    except OSError as error:
        return f"no gateway on port {settings.gateway_port}: {words_of(error)}"


def main() -> None:
    """Exit with 0, or with 1 and the reason."""
    try:
        found = trouble(Settings.load())
    except IndexerError as error:
        found = str(error)
    if found:
        sys.exit(found)


if __name__ == "__main__":
    main()
