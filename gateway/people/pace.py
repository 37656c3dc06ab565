"""How often the API for people looks, and how long it waits. Nobody has to set it; tests are in more of a hurry."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ApiPace:
    """Intervals of those who ask, of the figures, of their streams, and of a photo that is waited for, in seconds.

    Attributes:
        known: that Immich's answer is good for when it was asked who has a key. A revoked key opens nothing after that.
        fresh: that figures are good for, at least.
        share: the same, as a multiple of the time that it took to make the figures. With 10 they cost a tenth
            of one connection's time at most.
        look: between two looks of a stream at the figures.
        heartbeat: without an event, until a stream sends a comment: proxies close silent connections.
        check: between two looks whether the key of whoever opened a stream is still good.
        slow: that a client may take to read on, until its stream is ended.
        poll: between two looks at a photo that is waited for, where no notification tells of it.
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
