"""StreamDriver: a streamed answer, before commit over as many providers as it takes, after it chunk by chunk."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncGenerator, Callable
from typing import Any

import anyio

from provider_router.chat import ChatChunk, ChatRequest
from provider_router.errors import Failure, ProviderError, ProviderRouterError, StreamInterrupted
from provider_router.providers.provider import Provider
from provider_router.providers.terms import under
from provider_router.routing.actions import Abandon, Action, Answer, Fail
from provider_router.routing.driver import Driver
from provider_router.routing.guards import doubt_of_model
from provider_router.routing.vigil import Vigil


class StreamDriver(Driver):
    """A streamed answer.

    Attributes:
        handed: the chunks that the caller has had so far.
        sent: the request as it was sent to whoever answers, with the model as that provider calls it.
        skipped_events: broken events of the stream, which were left out.
        at_end: called once, when the stream has come to its end and is closed.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.handed: list[ChatChunk] = []
        self._folded = 0  # of those
        self._texts: list[str] = []  # theirs, as far as somebody asked for the text
        self.sent: ChatRequest = self.request
        self.skipped_events = 0
        self.at_end: Callable[[], None] | None = None
        self._chunks: AsyncGenerator[ChatChunk] | None = None
        self._ready: deque[ChatChunk] = deque()
        self._more = False
        self._ended = False  # the backend's stream, and with which error; what came before it may not be handed out yet
        self._error: ProviderRouterError | None = None
        self._over = False
        self._closed: StreamInterrupted | None = None  # before its end, perhaps by another task than the one that waits
        self._owed = ""  # text that the caller has had already and that a replay has to say again
        self._thought = ""  # or, where it has had none yet, reasoning
        self._differs = False  # whether a replay said something else
        self._doubts = self.machine.policy.guards == "next"
        self._wary = self._doubts  # whether the next chunk is looked at before it is passed on

    @property
    def answer(self) -> list[ChatChunk]:
        """What the caller has had."""
        return self.handed

    async def open(self) -> None:
        """Run until the first meaningful delta is there, or the end of a stream without any.

        Raises:
            ProviderRouterError: the decisive one.
        """
        await self._pursue(self.machine.start(self._clock()))

    async def next(self) -> ChatChunk | None:
        """The next chunk; None at the end.

        Raises:
            StreamInterrupted: where it breaks off or was closed before its end, with the text so far.
            DeadlineExceeded: where the total is up.
        """
        while not self._ready:
            if self._over:
                if self._closed is not None and not self.machine.finished:
                    self._closed.text = self.text
                    raise self._closed
                return None
            for chunk in self.handed[self._folded :]:  # the caller has had the time to look at them
                chunk.fold()
            self._folded = len(self.handed)
            await self._step()
        chunk = self._ready.popleft()
        self.handed.append(chunk)
        return chunk

    @property
    def text(self) -> str:
        """The text that the caller has had so far."""
        self._texts += [chunk.text for chunk in self.handed[len(self._texts) :]]
        return "".join(self._texts)

    @property
    def more(self) -> bool:
        """Whether the next chunk costs no wait."""
        return bool(self._ready) or (self._more and not self._over)

    async def aclose(self) -> None:
        """The caller is done; an unfinished stream is broken off upstream at once."""
        if not self._over:
            self._over = True
            self._closed = StreamInterrupted(
                "the stream was closed before its end", failure=Failure.CANCELLED, detail="closed"
            )
            self._closed.request_id = self.request_id
            self.machine.cancelled(self._clock())
        ended, self.at_end = self.at_end, None
        if ended is not None:
            ended()
        # Whoever waits for a chunk in another task breaks it off.
        if self._closed is None or self._vigil is None or not self._vigil.break_off(self._closed):
            await self._break_off()

    # Before commit: one attempt

    async def _work(self, provider: Provider, request: ChatRequest) -> None:
        self._more = False
        self.sent = request
        self._chunks = provider.stream(request)
        async for chunk in self._chunks:
            self._more = chunk.more
            self._ready.extend(self._read(chunk, provider))
            if self.machine.committed:
                return

    def _concluded(self, now: float) -> Action | None:
        return Answer() if self.machine.committed and self._closed is None else None

    def _failed(self, error: ProviderRouterError | None, now: float) -> Action:
        if self._closed is not None:
            return Fail(self._closed)
        if self.machine.closed if error is None else self.machine.finished and isinstance(error, ProviderError):
            action: Action = self.machine.ended(now)
            self._ready.extend(self.machine.held())
            self._over = True
            return action
        return super()._failed(error, now)

    # After commit: step by step

    async def _step(self) -> None:
        """Read all that one arrival has brought; how the stream ends is told after what came before it."""
        assert self._vigil is not None
        if not self._ended:
            try:
                if await self._read_on(self._vigil):
                    return
            except ProviderRouterError as raised:
                self._error = raised
            except Exception as raised:
                self._error = self._crashed(raised)
            except BaseException:  # the caller's cancellation
                await self.aclose()
                raise
            self._ended = True
            if self._ready:
                return
        error, self._error, self._ended = self._vigil.verdict or self._error, None, False
        await self._end(error)

    async def _read_on(self, vigil: Vigil) -> bool:
        """Whether there is more to come; without a wait where more of the same arrival is there."""
        chunks, live = self._chunks, self._live
        assert chunks is not None
        assert live is not None
        if self._more:
            chunk = await anext(chunks, None)
        else:
            self.machine.listening(self._clock())
            if self._terms is None:  # as for most; this is done for every arrival
                chunk = await vigil.over(anext(chunks, None))
            else:
                with under(self._terms):
                    chunk = await vigil.over(anext(chunks, None))
        while chunk is not None:
            self._more = chunk.more
            self._ready.extend(self._read(chunk, live.provider))
            if not chunk.more:
                return True
            chunk = await anext(chunks, None)
        return False

    async def _end(self, error: ProviderRouterError | None) -> None:
        """The stream has ended, well or with an error."""
        if self._closed is not None:
            await self._break_off()
            self._closed.text = self._text
            raise self._closed
        now = self._clock()
        action: Action
        if error is None or (self.machine.finished and isinstance(error, ProviderError)):
            action = self.machine.ended(now)
        else:
            action = self.machine.failed(error, now)
        await self._break_off()
        if not isinstance(action, Fail):
            self._over = True
            return
        told = action.error
        told.request_id = self.request_id
        if isinstance(told, StreamInterrupted):
            if self._may_replay:
                await self._replay(told)
                return
            told.text = self._text
        self._over = True
        raise told

    @property
    def _text(self) -> str:
        return self.text + "".join(chunk.text for chunk in self._ready)

    # A replay: run anew elsewhere, silent while the new text equals what was sent, and on from where it ends

    @property
    def _may_replay(self) -> bool:
        return (
            self.machine.policy.resume == "replay"
            and not self._differs
            and self.request.raw.get("n") in (None, 1)
            and not any(
                chunk.tool_calls or chunk.delta.get("audio") or chunk.delta.get("refusal")
                for chunk in [*self.handed, *self._ready]
            )
        )

    async def _replay(self, interrupted: StreamInterrupted) -> None:
        self._owed = self._text
        self._thought = "" if self._owed else "".join(chunk.reasoning for chunk in [*self.handed, *self._ready])
        interrupted.text = self._owed
        self._wary = True
        try:
            await self._pursue(self.machine.resume(self._clock()))
        except ProviderRouterError as error:
            self._over = True
            if error is interrupted:  # nobody was left to ask
                raise
            told, interrupted.attempts = len(interrupted.attempts), tuple(self.machine.attempts)
            for attempt in interrupted.attempts[told:]:
                interrupted.add_note(str(attempt))
            raise interrupted from error

    def _caught_up(self, chunk: ChatChunk) -> list[ChatChunk]:
        """What of a replayed chunk is new to the caller.

        Raises:
            StreamInterrupted: where the new text is another one, or ends before the old.
        """
        text, owed, thought = chunk.text, self._owed, self._thought
        reasoning = chunk.reasoning if thought else ""  # where the caller has had text, what led to it is of no use
        owes = len(text) < len(owed) or len(reasoning) < len(thought)
        ends_early = owes and (chunk.finish_reason is not None or bool(text and thought))
        if chunk.tool_calls or ends_early or not (_agree(text, owed) and _agree(reasoning, thought)):
            self._differs = True
            raise StreamInterrupted(
                f"{self.provider} gives another answer than the one that was cut off",
                text=self._text,
                provider=self.provider,
                detail="another answer",
            )
        self._owed, self._thought = owed[len(text) :], thought[len(reasoning) :]
        new, new_thought, finish = text[len(owed) :], reasoning[len(thought) :], chunk.finish_reason
        if not (new or new_thought or finish):
            return []
        return [ChatChunk.of(new, reasoning=new_thought, model=chunk.model, finish_reason=finish)]

    # Reading

    def _read(self, chunk: ChatChunk, provider: Provider) -> list[ChatChunk]:
        """What of a chunk is to be handed on now.

        Raises:
            ProviderError: where the chunk is an error, or one too many without content.
        """
        try:
            # Of several choices a peek does not tell which one it is that ends.
            peeks = self.machine.committed and self.machine.policy.choices == 1
            sign = (self.dialect.peek if peeks else self.dialect.read)(chunk)
        except ValueError:
            self.skipped_events += 1
            return []
        if sign.error is not None:
            raise self._embedded(sign.error, provider)
        # Before the machine hears of it: the end of another answer is none.
        new = self._looked_at(chunk, provider) if self._wary else None
        step = self.machine.event(chunk, sign, self._clock())
        if isinstance(step, Abandon):
            raise step.error
        return step if new is None else new

    def _looked_at(self, chunk: ChatChunk, provider: Provider) -> list[ChatChunk] | None:
        """What of a replayed chunk is new to the caller; None of any other chunk.

        Raises:
            NotCapable: where another model begins to answer, and the caller wants the next provider then.
            StreamInterrupted: where a replay says something else.
        """
        doubting = self._doubts and not self.machine.committed
        if doubting and (doubt := doubt_of_model(self.sent, chunk.model)):
            raise self._doubtful(provider, doubt)
        if self._owed or self._thought:
            return self._caught_up(chunk)
        self._wary = doubting
        return None

    async def _break_off(self) -> None:
        chunks, self._chunks = self._chunks, None
        if chunks is not None:
            with self._within(), anyio.CancelScope(shield=True):
                await chunks.aclose()
        await self._let_go()


def _agree(one: str, other: str) -> bool:
    """Whether one of two texts is the beginning of the other."""
    return one.startswith(other) or other.startswith(one)
