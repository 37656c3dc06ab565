"""One check for all settings that are addresses of servers."""

from yarl import URL


def http_url(text: str, example: str) -> URL:
    """The address in `text`, without a slash at its end.

    Args:
        text: what a person wrote.
        example: an example of a right address, for the error.

    Raises:
        ValueError: it is no http(s) address. The error does not quote it, because it may contain a password.
    """
    try:
        url = URL(text.strip().rstrip("/"))
        whole = url.scheme in ("http", "https") and bool(url.host) and not (url.query_string or url.fragment)
        if whole and not any(character.isspace() for character in text.strip()):
            return url
    except ValueError:  # the text of yarl's error quotes the address
        pass
    raise ValueError(f"no address like {example}")


def http_urls(text: str, example: str) -> list[URL]:
    """The addresses in `text`, separated by commas. Raises as `http_url`."""
    return [http_url(part, example) for part in text.split(",") if part.strip()]
