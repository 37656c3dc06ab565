"""When a job that failed is tried again, and when it is given up."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Policy:
    """When a failed job is tried again, and when it is given up. Times in seconds."""

    max_attempts: int
    retry_seconds: float
    lease_seconds: float
    longest_pause: float = 3600

    def pause(self, attempts: int) -> float:
        """Seconds before the next attempt: doubling, up to `longest_pause`."""
        return float(min(self.retry_seconds * 2 ** min(attempts - 1, 30), self.longest_pause))
