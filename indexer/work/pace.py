"""How often a worker looks, and how long it waits. These are no settings: only tests use other values."""

from dataclasses import dataclass

from indexer.models.engines.lifecycle import Pace


@dataclass(frozen=True)
class WorkerPace:
    """The intervals of one worker and of everything that it starts, in seconds.

    Attributes:
        idle: between two looks into the queue while no notification arrives. A retry may have become due.
        compare: between two checks that the jobs claimed in the database are the jobs that this worker works on.
        patience: to wait for an answer of the database. Three leases are waited where those are longer.
        grace: to finish the jobs under way after `stop`. Releasing the others takes up to 5 more.
        write: between two tries to write a batch, at most.
        write_longest: between two tries to write a single photo, at most.
        way: after a notification from Immich, in which only one batch at a time is written.
        release: until a photo is tried again after an error that is not the photo's fault.
        doubt: until another photo tries an engine that has failed. Twice as long after each further failure.
        doubt_longest: the longest such pause.
        listener: that a probe of the notifications may take, until they count as lost and the worker polls.
        outage: until the log says that something is waited for. Most trouble is over before then.
        edits: between two looks for what people changed in Immich. No notification tells of that.
        facts: until facts are written again after the database could not.
        untag: between two looks for photos that were read and still bear the tag `reindex`.
        downloads: between two looks at the progress of downloads.
        reconcile_again: between two tries to reconcile. One fails where it meets a backup that is being restored.
        int8: between two looks whether there are enough photos to make the models in int8.
        vectors: between two checks whether Immich has emptied its vectors. Searches find nothing until they are back.
        turn: between two looks whether all photos have a vector of the model that is becoming the current one.
        turn_grace: between the last answer by the old model and the change: Immich has to search with it first.
        turn_beat: between two heartbeats of the worker that reconciles.
        unproven: in which what an indexer read before it was killed may be proven by no probe. It is read again.
        turn_lost: without a heartbeat, until another worker may reconcile: the first is frozen, or its line is dead.
    """

    idle: float = 5
    compare: float = 5
    patience: float = 5
    grace: float = 5
    write: float = 3
    write_longest: float = 30
    way: float = 2
    release: float = 30
    doubt: float = 1
    doubt_longest: float = 300
    listener: float = 5
    outage: float = 10
    edits: float = 0.5
    facts: float = 1
    untag: float = 5
    downloads: float = 2
    reconcile_again: float = 5
    int8: float = 60
    vectors: float = 2
    turn: float = 5
    turn_grace: float = 3
    turn_beat: float = 15
    turn_lost: float = 60
    unproven: float = 2 * Pace.probe


USUAL = WorkerPace()
