"""How the calls of a model share the processors that it may use."""

_THREADS_A_CALL = 4


def of(threads: int) -> tuple[int, int]:
    """How many calls to make at a time, and how many threads each of them gets.

    One call at a time uses all threads, and of many threads so many calls as have four each: so a photo that comes
    alone does not wait longer than it must, and few threads wait for each other.
    """
    calls = max(1, threads // _THREADS_A_CALL)
    return calls, threads // calls
