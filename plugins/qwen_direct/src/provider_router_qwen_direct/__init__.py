"""The provider type `qwen-direct`: chat.qwen.ai over its web protocol, with the user's own login."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any, ClassVar, Final
from urllib.parse import quote

from provider_router.plugin import (
    COMMENT,
    Capability,
    ChatChunk,
    ChatRequest,
    ChatResponse,
    Checked,
    Failure,
    HTTPProvider,
    ModelInfo,
    Provider,
    ProviderError,
    Secret,
    XMLTools,
    assemble,
    decode,
    encode,
    error_class,
    error_of,
    folded,
    hookimpl,
    option,
    refuse_format,
    refuse_several,
    retry_after,
)
from provider_router_qwen_direct.conversation import Conversation
from provider_router_qwen_direct.failures import CHAT_GONE, CHAT_LOCKED, SiteError
from provider_router_qwen_direct.models import listed_models
from provider_router_qwen_direct.phases import PhaseReader
from provider_router_qwen_direct.wire import (
    completion_body,
    going_on,
    new_chat_body,
    one_text,
    stop_body,
)

__all__ = ["QwenDirect"]

log: Final = logging.getLogger("provider_router")

_SITE: Final = "https://chat.qwen.ai"
_COMPLETIONS: Final = "api/v2/chat/completions"
_DONE: Final = b"[DONE]"
_PHASE_LETTERS: Final = 40  # of the name of a phase, in the log
_TOLD_OF_AT_MOST: Final = 32
_PREAMBLE: Final = 1024 * 1024  # bytes of events in a row that say nothing of the answer


class QwenDirect(HTTPProvider):
    """chat.qwen.ai as a browser uses it. The official way is DashScope with an API key, type `openai-compatible`."""

    type: ClassVar[str] = "qwen-direct"
    label: ClassVar[str] = "Qwen (chat.qwen.ai)"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(
        {Capability.CHAT, Capability.STREAMING, Capability.TOOLS, Capability.MODELS}
    )

    class Config(HTTPProvider.Config):
        """The login, as the user has it in the browser, and what follows the site's changes."""

        base_url: str = option(_SITE, help="address of the site", example=_SITE, unit="url")
        token: Secret = option(
            help="value of the header bx-umidtoken", sensitive=True, env="QWEN_TOKEN", credentials="qwen"
        )
        cookies: Secret = option(
            help="value of the header Cookie", sensitive=True, env="QWEN_COOKIES", credentials="qwen"
        )
        expires_at: datetime | None = option(
            None, help="when the login ends; nothing is asked afterwards", unit="moment", credentials="qwen"
        )
        version: str = option("0.3.11", help="value of the header Version: which version of the site's page asks")
        timeout: float | None = option(
            None, help="longest plain attempt, from sent to complete", unit="duration", env="REQUEST_TIMEOUT"
        )

    config: Config

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._told_of: set[str] = set()  # phases of which the log has been told

    def auth_headers(self) -> dict[str, str]:
        """What the user supplied, and nothing that imitates a browser."""
        cookies = self.config.cookies.reveal()
        headers = {
            "bx-umidtoken": self.config.token.reveal(),
            "cookie": cookies,
            "source": "web",
            "version": self.config.version,
        }
        if session := _cookie(cookies, "token"):  # the site wants this one twice since 2026
            headers["authorization"] = f"Bearer {session}"
        return {**headers, **{name.lower(): value.reveal() for name, value in self.config.headers.items()}}

    def secrets(self) -> Sequence[Secret]:
        """The login, and each cookie of its own: an error may echo one."""
        parts = (part.partition("=")[2].strip().strip('"') for part in self.config.cookies.reveal().split(";"))
        return [*super().secrets(), *(Secret(part) for part in parts if len(part) >= _SECRET_LENGTH)]

    # Chat

    async def chat(self, request: ChatRequest) -> ChatResponse:
        """A plain answer, put together from a stream: the site's own plain answers are not to be relied on."""
        most = request.limits.over(self.bounds()).max_answer_bytes or 1
        chunks: list[ChatChunk] = []
        length = 0
        async with aclosing(self.stream(request)) as stream:
            async for chunk in stream:
                chunks.append(chunk)
                length += len(chunk.text) + len(chunk.reasoning)
                if length > most:
                    raise error_class(Failure.MALFORMED)(
                        f"{self.id} gives an answer beyond the bound of {most} bytes",
                        provider=self.id,
                        detail="an answer beyond the bound",
                    )
        finish = next((chunk for chunk in chunks if chunk.finish_reason), None)
        if finish is None:
            raise error_class(Failure.MALFORMED)(
                f"{self.id} ended its answer too early", provider=self.id, detail="answer cut"
            )
        answer = assemble(chunks)
        return ChatResponse({**answer.raw, "conversation": finish.raw["conversation"]}, usage=answer.usage)

    async def stream(self, request: ChatRequest) -> AsyncGenerator[ChatChunk]:
        refuse_several(request, who=self.id)
        refuse_format(request, who=self.id)
        tools = XMLTools.of(request)
        conversation = Conversation.of(request, who=self.id)
        reader = tools.reader(self.id)
        async with aclosing(self._told(request, tools, conversation)) as chunks:
            async for chunk in chunks:
                for ready in reader.feed(chunk):
                    yield ready
        for ready in reader.close():
            yield ready

    async def _told(
        self, request: ChatRequest, tools: XMLTools, conversation: Conversation | None
    ) -> AsyncGenerator[ChatChunk]:
        """The answer in the chat that the request continues, or in a new one if that is gone."""
        told = tools.written(request)
        for last in (False, True):
            try:
                asked = told if conversation is None else going_on(told, tools)
                async with aclosing(self._in_chat(asked, conversation)) as answer:
                    async for chunk in answer:
                        yield chunk
                return
            except _ChatGone as gone:
                if last:
                    raise gone.error from None
                conversation = None  # nothing was said yet: the whole history goes to a new chat

    async def _in_chat(self, request: ChatRequest, conversation: Conversation | None) -> AsyncGenerator[ChatChunk]:
        now = time.time()
        text = one_text(folded(request.messages), who=self.id)
        if conversation is None:
            chat_id, parent_id = await self._new_chat(request, now), None
        else:
            chat_id, parent_id = conversation.chat_id, conversation.parent_id
        body = completion_body(request, text, chat_id=chat_id, parent_id=parent_id, now=now)
        reader = PhaseReader(chat_id=chat_id, model=request.model, created=int(now), who=self.id)
        try:
            async with aclosing(self._read(request.with_body(body), reader)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except ProviderError as error:
            if error.code == CHAT_GONE and not reader.response_id:
                raise _ChatGone(error) from None
            if error.code == CHAT_LOCKED and parent_id:  # somebody left in the middle of its last answer
                await self._stop(chat_id, parent_id)
            raise
        finally:
            # Else the chat stays locked, and the quota goes on being used.
            if reader.response_id and not reader.finished:
                await self._stop(reader.chat_id, reader.response_id)

    async def _read(self, request: ChatRequest, reader: PhaseReader) -> AsyncGenerator[ChatChunk]:
        path = f"{_COMPLETIONS}?chat_id={quote(reader.chat_id, safe='')}"
        empty = 0
        # The site may leave the connection open for long after the end.
        async with aclosing(self.events(path, request, over=lambda: reader.finished)) as bursts:
            async for events in bursts:
                chunks: list[ChatChunk] = []
                empty += sum(len(event.data) for event in events)
                for event in events:
                    if event.event in (COMMENT, "ping") or event.data.strip() == _DONE:
                        continue
                    try:
                        said = decode(event.data)
                    except ValueError:  # one bad event is skipped by the Router, and counted
                        chunks.append(ChatChunk(event.data))
                        continue
                    if not reader.finished and reader.concerns(said) and SiteError.read(said) is not None:
                        for chunk in chunks:
                            yield chunk
                        raise self.error_of(200, event.data, {}, model=request.model)
                    chunks += reader.feed(said) if isinstance(said, Mapping) else []
                if not chunks and empty > _PREAMBLE:
                    raise error_class(Failure.MALFORMED)(
                        f"{self.id} sends events without end that say nothing", provider=self.id, detail="no answer"
                    )
                for chunk in chunks:
                    empty = 0
                    chunk.more = chunk is not chunks[-1]
                    yield chunk
            for chunk in reader.close():
                yield chunk
        if reader.unknown:
            self._tell_of(reader)

    def _tell_of(self, reader: PhaseReader) -> None:
        """The site has come up with something new, which was left out of the answer, or is all that there was of it."""
        phases = [repr(self.mask(phase)[:_PHASE_LETTERS]) for phase in reader.unknown]
        for phase in phases:
            if phase not in self._told_of and len(self._told_of) < _TOLD_OF_AT_MOST:
                self._told_of.add(phase)
                log.warning("%s: an answer has the phase %s, which is not known here and was left out", self.id, phase)
        if not reader.answered and not reader.finished:
            raise error_class(Failure.MALFORMED)(
                f"{self.id} answered in phases that are not known here: {', '.join(phases)}. The site has changed: "
                "look for a newer version of this provider type",
                provider=self.id,
                detail="unknown phases",
            )

    async def _new_chat(self, request: ChatRequest, now: float) -> str:
        body = request.with_body(new_chat_body(request.model, now=now))
        made = await self.post("api/v2/chats/new", body)
        if SiteError.read(made) is not None:
            raise self.error_of(200, encode(made), {}, model=request.model)
        data = made.get("data") if isinstance(made, Mapping) else None
        chat_id = data.get("id") if isinstance(data, Mapping) else None
        if not isinstance(chat_id, str) or not chat_id:
            raise error_class(Failure.MALFORMED)(
                f"{self.id} made a chat without an id", provider=self.id, detail="no chat id"
            )
        return chat_id

    async def _stop(self, chat_id: str, response_id: str) -> None:
        """Tell the server that nobody waits for this answer any more."""
        path = f"{_COMPLETIONS}/stop?chat_id={quote(chat_id, safe='')}"
        await self.notify(path, stop_body(chat_id, response_id))

    # Models, check, errors

    async def models(self) -> list[ModelInfo]:
        body = await self.get("api/models")
        if SiteError.read(body) is not None:
            raise self.error_of(200, encode(body), {}, model=None)
        listed = listed_models(body)
        if listed is None:
            raise error_class(Failure.MALFORMED)(
                f"{self.id} listed no models", provider=self.id, detail="no model list"
            )
        return listed

    async def check(self) -> Checked:
        ends = self.config.expires_at
        if ends is not None and ends <= datetime.now(UTC):
            raise error_class(Failure.AUTH)(
                f"the login of {self.id} ended at {ends:%Y-%m-%d %H:%M} UTC: renew token, cookies and expiresAt",
                provider=self.id,
                detail="expired",
            )
        count = len(await self.models())
        return Checked(detail=f"{count} model{'' if count == 1 else 's'}", models=count)

    def read_error(
        self, status: int, body: bytes, headers: Mapping[str, str], *, model: str | None = None
    ) -> ProviderError:
        """The site says much with status 200, and some of it as a web page."""
        error = SiteError.parse(body)
        return error_of(
            status,
            error.body,
            who=self.id,
            model=model,
            retry_after=error.retry_after or retry_after(headers),
            failure=error.failure,
        )


class _ChatGone(Exception):
    """The chat is not there any more, and nothing was answered yet."""

    def __init__(self, error: ProviderError) -> None:
        super().__init__(str(error))
        self.error = error


_SECRET_LENGTH: Final = 8  # shorter values of cookies are no secrets, and would mask half of every text


def _cookie(cookies: str, name: str) -> str:
    """The value of one cookie, or an empty text."""
    for part in cookies.split(";"):
        key, _, value = part.partition("=")
        if key.strip() == name:
            return value.strip().strip('"')
    return ""


@hookimpl
def register_providers() -> Sequence[type[Provider]]:
    """The one type of this plugin."""
    return [QwenDirect]
