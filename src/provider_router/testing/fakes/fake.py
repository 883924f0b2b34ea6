"""Fake: the blank one. A backend of a dialect of its own is a subclass that says how an answer looks there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, Self

from provider_router.backends import Backend, Model, Reply, Voice, Wire
from provider_router.backends.faults import Outcome
from provider_router.backends.wire import encode


class Fake(Backend, Voice):
    """A scripted backend on a free port of loopback, for the length of a `with` block.

    It is a `Backend` that speaks with its own voice: whatever is scripted, an answer, an error or any fault of
    `provider_router.backends.FAULTS`, is said in its dialect. By itself it serves nothing; a subclass says

    - `site()`: what it does at which method and path;
    - `chat_paths`: at which of them it chats;
    - `whole`, `begin`, `parts`, `end`: how an answer looks, whole and in pieces (see `Voice`);
    - `error`: how an error looks;
    - `lacks`, `means`: which faults its dialect cannot have, and which mean something else there.

    Attributes:
        base_path: What `base_url` adds to the origin.
        key_option: The option that holds the key, as Python spells it.
        means: The outcome of faults, by name, where the dialect knows better than HTTP. Each needs a reason in a
            comment: the suite believes it.
    """

    base_path: ClassVar[str] = ""
    key_option: ClassVar[str] = "api_key"
    means: ClassVar[Mapping[str, Outcome]] = {}

    def __init__(self, *replies: Reply, models: Sequence[Model | str] = ("small-model",), key: str = "") -> None:
        """Prepare a fake.

        Args:
            replies: The script of the chats, as for `script`.
            models: What it lists.
            key: What a caller must show, if not empty.
        """
        super().__init__(*replies, models=models, api_key=key)
        self.voice = self

    @property
    def base_url(self) -> str:
        """What a provider is configured with."""
        return self.url + self.base_path

    def site(self) -> Mapping[tuple[str, str], Reply]:
        return {}

    def fresh(self, *replies: Reply, models: Sequence[Model | str] = ("small-model",), key: str = "") -> Self:
        """Another one of the same kind, not started. A subclass whose `__init__` needs more overrides this."""
        return type(self)(*replies, models=models, key=key)


class LinesFake(Fake):
    """The blank fake of a dialect whose streams are lines of JSON (NDJSON), without a mark at their end."""

    stream_type: ClassVar[str] = "application/x-ndjson"
    done: ClassVar[bytes] = b""
    ping: ClassVar[bytes] = b""
    lacks: ClassVar[frozenset[Wire]] = frozenset({Wire.EVENTS, Wire.DONE, Wire.PREAMBLE, Wire.TOOL_DELTAS})

    def piece(self, data: object) -> bytes:
        return (data if isinstance(data, bytes) else encode(data)) + b"\n"

    def error_piece(self, error: object) -> bytes:
        return self.piece(error)
