"""`python -m gateway.ping`: whether the gateway of this host is ready, for a container's health check."""

import sys
from urllib.error import HTTPError
from urllib.request import urlopen

from indexer.errors import IndexerError, words_of
from indexer.settings import Settings


def trouble(settings: Settings) -> str | None:
    """What is wrong with the gateway that listens on this host, in words without its token; None while it is ready."""
    token = settings.gateway_token
    prefix = f"/{token.get_secret_value()}" if token else ""
    try:
        with urlopen(f"http://127.0.0.1:{settings.gateway_port}{prefix}/ping", timeout=5):
            return None
    except HTTPError as error:
        return f"the gateway is not ready: {error.read(200).decode(errors='replace')} (status {error.code})"
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
