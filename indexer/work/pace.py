"""How often a worker looks, and how long it waits. Nobody has to set it; tests are in more of a hurry."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkerPace:
    """Intervals of one worker and of all that it starts, in seconds.

    Attributes:
        idle: between two looks into the queue while no notification arrives: a retry may have come due.
        compare: between two looks whether the database holds, for this worker, exactly the jobs that it works on.
        patience: for an answer of the database, at least. It is three leases where those are longer.
        grace: to finish what is under way after a stop. With the time to give the rest back it is 10 at most.
        write: between two tries to write a batch, at most.
        write_longest: between two tries to write a photo that cannot be written by itself either, at most.
        release: until a photo is tried again after trouble that is not the photo's fault.
        doubt: until another photo tries an engine that is in doubt. Twice as long after each failure.
        doubt_longest: such a pause at most.
        listener: that a probe of the notifications may take, until they count as lost and the worker polls.
        outage: until the log says that something is waited for. Most trouble is over before.
        untag: between two looks for photos that were read and still have the tag `reindex`.
        downloads: between two looks at the progress of downloads.
        reconcile_again: between two tries to reconcile. A restored backup may be found while it is being restored.
        vectors: between two looks whether Immich has emptied its vectors. No search finds anything until they are back.
        turn_beat: between two signs of life of the worker that reconciles.
        turn_lost: without such a sign, until another worker may reconcile: that process is frozen, or its line dead.
    """

    idle: float = 5
    compare: float = 5
    patience: float = 5
    grace: float = 5
    write: float = 3
    write_longest: float = 30
    release: float = 30
    doubt: float = 1
    doubt_longest: float = 300
    listener: float = 5
    outage: float = 10
    untag: float = 5
    downloads: float = 2
    reconcile_again: float = 5
    vectors: float = 2
    turn_beat: float = 15
    turn_lost: float = 60


USUAL = WorkerPace()
