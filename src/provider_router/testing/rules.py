"""The rules of the contract by name, which of them a dialect can have, and how a test says that one is broken."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, Final, NoReturn, TypeVar

from attrs import frozen

from provider_router.backends import Wire
from provider_router.errors import ProviderRouterError

RULES: Final[Mapping[str, str]] = {
    # the type
    "type-declared": "a type says its name, its label, the contract's number and what it can do, chat among it",
    "options-declared": "every option says in a phrase what it is for, and has a name outside Python",
    "options-checked": "all that is wrong with the options is told at once, each under its option's name",
    "place-told": "a provider tells its endpoint and the zone that it lies in",
    # answers
    "chat-answers": "chat() returns the backend's one answer: text, model, why it ended, what it used",
    "chat-sends-all": "what was said in the conversation reaches the backend, every message of it",
    "fields-passed-on": "fields of a request that the type does not know reach the backend",
    "fields-carried": "fields of an answer that nobody knows are in `raw`, of a chat and of a stream",
    "headers-passed-on": "headers of a request (extra_headers) reach the backend",
    "request-kept": "a request stays as it is: what has to look different is a copy",
    "way-decided-by-method": "chat() gives a whole answer and stream() pieces, whatever the body says of streams",
    "one-try": "a call is one try: retries and fallbacks are the Router's",
    # streams
    "stream-adds-up": "the chunks of stream() add up to what chat() says",
    "stream-flows": "a chunk is handed out when it has come, not when the next one has",
    "stream-ends": "the last chunks say why the stream ended; a stream that does not was cut",
    "stream-abandoned": "closing a stream that is not at its end closes its connection",
    # failures
    "fault-has-its-class": "what goes wrong is a ProviderError of the class that fits, plain and streamed",
    "error-tells": "an error names its provider, the status, and what the backend said",
    "retry-after": "Retry-After, in every form it has, becomes seconds",
    "limits-honoured": "the limits of a request and of the options hold",
    # what is declared
    "declared-works": "a capability that is declared is real",
    "undeclared-unasked": "what is not declared is refused without asking the backend",
    "models-listed": "models() lists what the backend has, and carries what it says of each",
    "check-answers": "check() says that the backend answers, and raises where it does not",
    "recognised": "recognise() gives options that lead to the backend, and None for anything else",
    # the attempt
    "progress-told": "an attempt tells how far it is: connected, sent, head, arrived",
    "connection-agreed": "nothing is sent before progress.connected() has agreed to the address",
    # secrets
    "secret-hidden": "no secret is in a repr, a log line or an error",
    "key-shown": "the key in the options is the one that the backend is shown",
    # life
    "nothing-shared": "two providers of one type share nothing",
    "closed-twice": "aclose() may be called twice, also of a provider that was never used",
    "cancelled-closes": "a call that is cancelled closes its connection",
    "at-once": "calls at once get each its own answer",
    "loops-apart": "a provider works in one event loop after another",
    "routed": "the Router chats, streams and falls back over it",
}
"""Every rule: its name, and what the contract says."""

Test = TypeVar("Test", bound=Callable[..., Any])


@frozen
class Rule:
    """What a test of the suite tests: the rule's name, and what a dialect has to have for it."""

    name: str
    needs: frozenset[Wire]

    @classmethod
    def of(cls, test: object) -> Rule | None:
        """The rule that a test was given with `rule(…)`, or None for a test that is not the suite's."""
        return getattr(test, "_rule", None)


def rule(name: str, *needs: Wire) -> Callable[[Test], Test]:
    """Say which rule a test is of, and what its dialect has to have."""
    assert name in RULES

    def mark(test: Any) -> Any:
        if inspect.iscoroutinefunction(test):

            @functools.wraps(test)
            async def run(*args: Any, **fixtures: Any) -> None:
                try:
                    await test(*args, **fixtures)
                except (AssertionError, ExceptionGroup):  # it says so itself, or its parts do
                    raise
                except Exception as error:
                    raise _told(name, error) from error

        else:

            @functools.wraps(test)
            def run(*args: Any, **fixtures: Any) -> None:
                try:
                    test(*args, **fixtures)
                except (AssertionError, ExceptionGroup):  # it says so itself, or its parts do
                    raise
                except Exception as error:
                    raise _told(name, error) from error

        run._rule = Rule(name, frozenset(needs))  # type: ignore[attr-defined]
        return run

    return mark


def _told(name: str, error: Exception) -> ContractBroken:
    """What a test failed with, as a rule that is broken."""
    what = "an error where none was due" if isinstance(error, ProviderRouterError) else "a crash"
    return ContractBroken(name, f"{what}: {error!r}")


class ContractBroken(AssertionError):
    """A provider type does not keep a rule of the contract. `rule` is its name."""

    def __init__(self, rule: str, seen: str) -> None:
        self.rule = rule
        super().__init__(f"{rule}\n  the contract: {RULES[rule]}\n  seen:         {seen}")


@frozen
class Keeps:
    """What a test says of what it saw; each of these fails it with the rule's name, and what the contract says."""

    rule: str

    def broken(self, seen: str) -> NoReturn:
        """The rule is not kept."""
        __tracebackhide__ = True
        raise ContractBroken(self.rule, seen)

    def holds(self, condition: object, seen: str) -> None:
        """The rule is kept if the condition holds."""
        __tracebackhide__ = True
        if not condition:
            raise ContractBroken(self.rule, seen)

    def same(self, expected: object, actual: object, what: str) -> None:
        """The rule is kept if two values are equal."""
        __tracebackhide__ = True
        if expected != actual:
            raise ContractBroken(self.rule, f"{what} should be {expected!r} and is {actual!r}")
