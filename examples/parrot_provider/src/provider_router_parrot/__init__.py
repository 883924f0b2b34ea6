"""The provider type `parrot`: a backend that speaks neither OpenAI's dialect nor any other known one.

POST /say {"line": "Hello", "voice": "loud"} → {"reply": "Hello", "words": 1}
POST /sing, the same                         → {"word": "Hello"} in a line of its own for every word, then {"end": true}
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from provider_router.plugin import (
    Capability,
    ChatChunk,
    ChatRequest,
    ChatResponse,
    Checked,
    Failure,
    HTTPProvider,
    Usage,
    content_text,
    error_class,
    hookimpl,
    option,
)


class Parrot(HTTPProvider):
    """It says the last line again."""

    type = "parrot"
    label = "Parrot"
    capabilities = frozenset({Capability.CHAT, Capability.STREAMING})
    default_urls = ("http://localhost:7676",)

    class Config(HTTPProvider.Config):
        """Beside the address, how loud it is."""

        voice: str = option("soft", help="how it speaks", choices=("soft", "loud"))

    config: Config

    def asked(self, request: ChatRequest) -> ChatRequest:
        """The request in the parrot's dialect; what it does not know of OpenAI's goes along."""
        said = content_text(request.messages[-1].get("content"))
        return request.with_body({"line": said, "voice": self.config.voice, **request.extra})

    def part(self, answer: object, name: str, default: object = None) -> Any:
        """A field of an answer, or the error for an answer that has none."""
        if isinstance(answer, dict) and answer.get(name, default) is not None:
            return answer.get(name, default)
        raise error_class(Failure.MALFORMED)(f"{self.id} answered without {name!r}", provider=self.id)

    async def chat(self, request: ChatRequest) -> ChatResponse:
        answer = await self.post("say", self.asked(request))
        text, usage = self.part(answer, "reply"), Usage(completion_tokens=self.part(answer, "words", 0))
        return ChatResponse.of(text=text, model="parrot", usage=usage, extra=answer)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk]:
        async with aclosing(self.lines("sing", self.asked(request))) as bursts:
            async for burst in bursts:
                for answer in burst:
                    end = self.part(answer, "end", False)
                    word = "" if end else self.part(answer, "word")
                    yield ChatChunk.of(word, finish_reason="stop" if end else None, extra=answer)

    async def check(self) -> Checked:
        return Checked(detail=self.part(await self.get("mood"), "mood"))


@hookimpl
def register_providers() -> list[type[Parrot]]:
    return [Parrot]
