"""How often the API for people looks, and how long it waits. These are no settings: only tests use other values."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ApiPace:
    """The intervals of the API for people, in seconds.

    Attributes:
        known: for which Immich's answer about a key or a session is kept. A revoked key works no longer than that.
        fresh: for which figures are kept, at least.
        share: times the time that making the figures took: they are kept at least so long. With 10, making figures
            takes no more than a tenth of one connection's time.
        look: between two looks of a stream at the figures.
        heartbeat: without an event, until a stream sends a comment: proxies close silent connections.
        check: between two checks that the key or session that opened a stream is still valid.
        slow: for which a client may read nothing, until its stream is ended.
        poll: between two looks at a photo that a request waits for, in case no notification arrives.
    """

    known: float = 10
    fresh: float = 0.9
    share: float = 10
    look: float = 1
    heartbeat: float = 15
    check: float = 30
    slow: float = 30
    poll: float = 2


USUAL = ApiPace()
