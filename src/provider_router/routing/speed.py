"""Speeds: how soon candidates spoke of late, as averages that jump up at once and come down slowly. Pure."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Hashable
from typing import Final

from attrs import define

from provider_router import limits as numbers

_REMEMBERED: Final = 1000


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


class Speeds:
    """The speed of each candidate; those that were not heard for longest are forgotten."""

    def __init__(self) -> None:
        self._speeds: OrderedDict[Hashable, Speed] = OrderedDict()

    def __len__(self) -> int:
        return len(self._speeds)

    def add(self, key: Hashable, seconds: float, now: float) -> None:
        """A candidate needed so many seconds to its first delta."""
        if (speed := self._speeds.get(key)) is not None:
            speed.add(seconds, now)
            self._speeds.move_to_end(key)
        else:
            self._speeds[key] = Speed(seconds, now)
            if len(self._speeds) > _REMEMBERED:
                self._speeds.popitem(last=False)

    def of_late(self, key: Hashable, now: float) -> float:
        """Seconds; 0 for an unknown one."""
        speed = self._speeds.get(key)
        return speed.of_late(now) if speed else 0.0
