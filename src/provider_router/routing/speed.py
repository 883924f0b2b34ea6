"""Speed: how soon a candidate spoke of late, as an average that jumps up at once and comes down slowly. Pure."""

from __future__ import annotations

import math

from attrs import define

from provider_router import limits as numbers


@define
class Speed:
    """Seconds to the first delta: each slower one counts in full, each faster one by the time that has passed."""

    seconds: float
    at: float

    def add(self, seconds: float, now: float) -> None:
        if seconds < self.seconds:
            kept = math.exp(-max(0.0, now - self.at) / numbers.SPEED_MEMORY)
            seconds = seconds + (self.seconds - seconds) * kept
        self.seconds, self.at = seconds, now

    def of_late(self, now: float) -> float:
        """The average now: what nobody has asked for long may have become faster, and is asked again."""
        return self.seconds * math.exp(-max(0.0, now - self.at) / numbers.SPEED_MEMORY)
