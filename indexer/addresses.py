"""Addresses of servers in the settings: one check for all of them."""

from yarl import URL


def http_url(text: str, example: str) -> URL:
    """The address in `text`, without a slash at its end.

    Args:
        text: what somebody wrote.
        example: how it should look, for the error.

    Raises:
        ValueError: it is no http(s) address. The text does not quote it: there may be a password in it.
    """
    try:
        url = URL(text.strip().rstrip("/"))
        whole = url.scheme in ("http", "https") and bool(url.host) and not (url.query_string or url.fragment)
        if whole and not any(character.isspace() for character in text.strip()):
            return url
    except ValueError:  # yarl's own words quote the address
        pass
    raise ValueError(f"no address like {example}")


def http_urls(text: str, example: str) -> list[URL]:
    """The addresses in `text`, separated by commas. Raises as `http_url`."""
    return [http_url(part, example) for part in text.split(",") if part.strip()]
