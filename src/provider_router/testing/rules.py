"""The rules of the contract, by name, and how a test says that one is broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NoReturn

RULES: Final[Mapping[str, str]] = {
    "chat-answers": "chat() returns the backend's one answer: its text, its model, why it ended, what it used",
    "stream-adds-up": "the chunks of stream() add up to what chat() says",
}
"""Every rule: its name, and what the contract says."""


class ContractBroken(AssertionError):
    """A provider type does not keep a rule of the contract. `rule` is its name."""

    def __init__(self, rule: str, seen: str) -> None:
        self.rule = rule
        super().__init__(f"{rule}: {RULES[rule]}.\n  seen: {seen}")


def broken(rule: str, seen: str) -> NoReturn:
    """Fail a test, with the rule's name, what the contract says, and what was seen."""
    __tracebackhide__ = True
    raise ContractBroken(rule, seen)


def holds(rule: str, condition: object, seen: str) -> None:
    """Fail a test unless the condition holds."""
    __tracebackhide__ = True
    if not condition:
        raise ContractBroken(rule, seen)


def same(rule: str, expected: object, actual: object, *, what: str) -> None:
    """Fail a test unless two values are equal."""
    __tracebackhide__ = True
    if expected != actual:
        raise ContractBroken(rule, f"{what} is {actual!r}, and has to be {expected!r}")
