"""Conversation: a chat on the server that a request continues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from provider_router.plugin import ChatRequest, Failure, error_class


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """What a caller gives as `extra_body={"conversation": …}`, and finds in `answer.raw["conversation"]`.

    It is `{"provider", "chat_id", "parent_id"}` and never guessed from messages, so that no two callers share a chat.
    """

    chat_id: str
    parent_id: str | None

    @classmethod
    def of(cls, request: ChatRequest, *, who: str) -> Conversation | None:
        """The one that a request continues, or None for a request that brings its whole history.

        Raises:
            RequestRejected: for a value that is none of ours.
        """
        value = request.raw.get("conversation")
        if value is None:
            return None
        chat_id = value.get("chat_id") if isinstance(value, Mapping) else None
        parent_id = value.get("parent_id") if isinstance(value, Mapping) else None
        if not isinstance(chat_id, str) or not chat_id or not isinstance(parent_id, str | None):
            raise error_class(Failure.BAD_REQUEST)(
                f'{who}: conversation has to be what an answer\'s raw["conversation"] holds: '
                '{"provider": …, "chat_id": …, "parent_id": …}',
                provider=who,
                detail="conversation",
            )
        if value.get("provider") not in (None, who):
            raise error_class(Failure.BAD_REQUEST)(
                f"{who}: this conversation is one of {value['provider']}", provider=who, detail="conversation"
            )
        return cls(chat_id=chat_id, parent_id=parent_id or None)
