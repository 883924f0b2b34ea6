"""Choices: which of the answers that a request wants side by side (`n`) have come to their end. Pure."""

from __future__ import annotations

from provider_router.dialects.dialect import Sign


class Choices:
    """The ends of one answer's choices.

    Args:
        wanted: how many the request asks for.
    """

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._begun: set[int] = set()
        self._ended: set[int] = set()

    def hear(self, sign: Sign) -> None:
        """A chunk came."""
        for index, ends in sign.choices:
            self._begun.add(index)
            if ends:
                self._ended.add(index)

    @property
    def complete(self) -> bool:
        """Whether as many as were wanted have ended, so that what fails after that is no failure."""
        return len(self._ended) >= self._wanted

    @property
    def closed(self) -> bool:
        """Whether the answer is whole if it ends in order now: every choice that has begun has ended.

        Some backends take no notice of `n` and give one choice.
        """
        return self.complete or (bool(self._ended) and self._begun == self._ended)
