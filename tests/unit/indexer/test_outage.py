"""One voice for all who wait, after a while, ever more rarely, and once when it is over."""

from structlog.testing import capture_logs

from indexer.outage import Outage


def test_a_line_after_ten_seconds_then_ever_more_rarely_and_one_at_the_end():
    now = 0.0
    outage = Outage("the database", now=lambda: now)
    with capture_logs() as lines:
        said = []
        for second in range(300):
            now = float(second)
            outage.goes_on("claims", "read-only")
            outage.goes_on("heartbeat", "read-only")
            said += [second] * (len(lines) - len(said))
        assert said == [10, 30, 90, 270]
        outage.ends("claims")
        assert len(lines) == 4, "the heartbeat still waits"
        outage.ends("heartbeat")
    assert [line["event"] for line in lines[-2:]] == ["waiting for the database", "no longer waiting for the database"]
    assert (lines[0]["reason"], lines[0]["seconds"], lines[-1]["seconds"]) == ("read-only", 10, 299)


def test_what_passes_soon_is_not_worth_a_line():
    now = 0.0
    outage = Outage("the database", now=lambda: now)
    with capture_logs() as lines:
        for second in range(100):
            now = float(second)
            outage.goes_on("claims", "restarted")
            if second % 9 == 0:
                outage.ends("claims")
    assert lines == []
