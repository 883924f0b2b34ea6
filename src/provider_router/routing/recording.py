"""Recording: what the history is to know of a request. Taken on the event loop in a moment, worked out in a thread."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from provider_router.chat import Capability, ChatChunk, ChatRequest, ChatResponse, Usage
from provider_router.chat.answer import content_text
from provider_router.dialects.openai_chat import OPENAI_CHAT
from provider_router.errors import DeadlineExceeded, Failure, NoCandidates, ProviderError, ProviderRouterError
from provider_router.routing.candidate import Candidate
from provider_router.routing.masking import masked_body, masked_text
from provider_router.routing.plan import Plan
from provider_router.routing.snapshot import ProviderLink, Snapshot
from provider_router.store.requests import AttemptLine, RequestLine
from provider_router.trail import Attempt

if TYPE_CHECKING:
    from provider_router.routing.failover import Failover

Mask = Callable[[str], str]
Answer = ChatResponse | list[ChatChunk] | Mapping[str, Any] | None

_LAST_CHUNKS: Final = 4  # among them is the one with the usage, where there is one
_LETTERS_PER_TOKEN: Final = 4
_FLOOR_FACTOR: Final = 2  # a prompt's least number of tokens counts eight letters each, the usual is four
_STEPS_KEPT: Final = 100  # of a plan; among 10,000 providers nobody reads the rest
_TEXTS_KNOWN: Final = 1000
_SHARED_KEPT: Final = 10_000  # candidates; most strategies put them together anew for each request
_STEP: Final = attrgetter("provider", "model", "asked", "state", "reason")  # of a candidate
_ERROR_LETTERS: Final = 2000


class Recordable(Protocol):
    """One request on its way, as a driver has it."""

    machine: Failover
    request: ChatRequest
    request_id: str

    @property
    def answer(self) -> Answer:
        """The answer, or what there was of it."""


class Entry(NamedTuple):
    """One request that has ended, as the loop leaves it to the thread. Nothing in it changes any more."""

    request_id: str
    at: float  # seconds since 1970
    duration: float
    session: str | None
    request: ChatRequest | None  # where its first message is to be kept
    answer: Answer  # where there is no usage, or it is to be kept itself
    usage: Any
    plan: Plan
    attempts: Sequence[Attempt]
    stream: bool
    finish: str | None
    committed: bool
    failure: str | None
    error: str | None
    masks: Sequence[Mask]
    bodies: tuple[bytes | None, bytes | None] | None


def entry_of(
    driver: Recordable,
    masks: Callable[[Plan], Sequence[Mask]],
    *,
    now: float,
    wall: float,
    session: str | None,
    bodies: str,
) -> Entry:
    """What is left of a request that has ended.

    Args:
        driver: what carried the request out.
        masks: what takes the secrets of a plan's providers out of a text.
        now: the moment of its end, on the machine's clock.
        wall: the same moment in seconds since 1970.
        session: as the caller named it.
        bodies: whose bodies are kept: `off`, `errors`, `all`.
    """
    machine = driver.machine
    answer = driver.answer
    attempts = machine.attempts
    failure = error = kept = None
    wanted: Sequence[Mask] = ()
    if machine.error is not None or machine.left or answer is None:
        failure, error = _outcome(machine)
        wanted = masks(machine.plan)
    if bodies != "off" and (bodies == "all" or failure is not None or len(attempts) > 1):
        kept = _bodies(driver.request, answer)
        wanted = masks(machine.plan)
    usage, finish = None, machine.finish_reason
    if isinstance(answer, ChatResponse):
        usage, finish = answer._usage or answer.raw.get("usage"), _finish(answer)
    passed = duration = now - machine.begun
    if failure is None and attempts:  # a stream may be closed long after its end
        duration = attempts[-1].started + attempts[-1].duration
    return Entry(
        driver.request_id,
        wall - passed,
        duration,
        session,
        # What is not asked for is let go now: what 500 entries hold, Python's garbage collector looks through.
        driver.request if kept is not None and session is not None else None,
        answer if kept is not None or type(usage) is not dict or not usage else None,
        usage,
        machine.plan,
        attempts,
        machine.policy.stream,
        finish,
        machine.committed,
        failure,
        error,
        wanted,
        kept,
    )


def _outcome(machine: Failover) -> tuple[str, str | None]:
    """The class of a failure, and what is said of it. Two classes are no provider's: `deadline` and `nobody`."""
    error = machine.error
    if error is None:
        return (Failure.CANCELLED if machine.left else Failure.CRASHED).value, None
    return failure_class(error), str(error.args[0]) if error.args else None


def failure_class(error: ProviderRouterError) -> str:
    """The class under which a failed request is found."""
    if isinstance(error, ProviderError):
        return error.failure.value
    if isinstance(error, DeadlineExceeded):
        return "deadline"
    return "nobody" if isinstance(error, NoCandidates) else Failure.CRASHED.value


CLASSES: Final = (*(failure.value for failure in Failure), "deadline", "nobody")


def _bodies(request: ChatRequest, answer: Answer) -> tuple[bytes | None, bytes | None]:
    """As bytes at once: the caller may do with his own what he likes."""
    try:
        asked: bytes | None = request.body
    except ProviderError:  # no JSON can hold it
        asked = None
    whole = answer.raw if isinstance(answer, ChatResponse) else answer
    return asked, json.dumps(whole, default=str).encode() if isinstance(whole, Mapping) else None


def _finish(answer: ChatResponse) -> str | None:
    try:
        reason = answer.raw["choices"][0]["finish_reason"]
    except (LookupError, TypeError):
        return None
    return reason if type(reason) is str else None


# In the thread


class Scribe:
    """Works out what is to be written. What repeats is worked out once."""

    def __init__(self) -> None:
        self._texts: dict[Any, tuple[str, str]] = {}
        # By the identity of their candidates, which a route shares between its requests; these are kept with it.
        self._shared: dict[Any, tuple[Sequence[Candidate], tuple[str, str]]] = {}
        self._kept = 0  # candidates
        self._snapshot: Snapshot | None = None  # from which their plans were made

    def line(self, entry: Entry) -> RequestLine:
        """One request as the history keeps it."""
        plan = entry.plan
        needs = plan.needs
        text, path = self._plan(plan)
        prompt, completion, estimated = _tokens(entry)
        cost: float | None = None
        first_delta: float | None = None
        attempts = []
        last = entry.attempts[-1] if entry.attempts else None
        for attempt in entry.attempts:
            candidate = _candidate(plan, attempt)
            asked = (candidate.asked if candidate is not None else needs.model) or attempt.model or ""
            if attempt.first_delta is not None and first_delta is None:
                first_delta = attempt.started + attempt.first_delta
            failure = attempt.failure
            mine: tuple[Any, ...] = ()
            if attempt is last and prompt is not None:
                if candidate is not None and candidate.link is not None:
                    cost = _cost(candidate.link, prompt, completion or 0)
                mine = prompt, completion, estimated, cost
            attempts.append(
                AttemptLine(
                    attempt.provider,
                    asked,
                    attempt.model,
                    failure.value if failure is not None else None,
                    attempt.status,
                    attempt.detail or None,
                    attempt.started,
                    attempt.duration,
                    attempt.first_delta,
                    attempt.retry_after,
                    *mine,
                )
            )
        error = entry.error
        if error is not None:
            error = masked_text(error, entry.masks)[:_ERROR_LETTERS]
        asked_body = answered_body = None
        if entry.bodies is not None:
            asked_body, answered_body = self._bodies(entry)
        return RequestLine(
            entry.request_id,
            int(entry.at * 1000),
            entry.session,
            "" if entry.request is None else _first_user_message(entry.request, entry.masks),
            path,
            needs.model or "",
            entry.stream,
            last.provider if last is not None else None,
            entry.failure,
            text,
            plan.seed,
            plan.revision,
            needs.prompt_floor,
            needs.prefix or None,
            prompt,
            completion,
            estimated,
            cost,
            entry.finish,
            error,
            entry.duration,
            first_delta,
            attempts,
            asked_body,
            answered_body,
        )

    def _plan(self, plan: Plan) -> tuple[str, str]:
        """The plan as text, and the path of its requests."""
        if plan.snapshot is not self._snapshot:
            self._snapshot = plan.snapshot
            self._texts.clear()
            self._shared.clear()
            self._kept = 0
        # Who is left out follows from these, and may be thousands.
        needs, candidates = plan.needs, plan.candidates
        asked = needs.model, needs.provider, needs.fallback, needs.zone, needs.capabilities
        shared = self._shared.get((id(candidates), asked))
        if shared is not None:
            return shared[1]
        key = asked, tuple(map(_STEP, candidates[:_STEPS_KEPT])), len(candidates)
        known = self._texts.get(key)
        if known is None:
            if len(self._texts) >= _TEXTS_KNOWN:
                self._texts.clear()
            known = self._texts[key] = _plan_text(plan), _path(plan)
        if len(self._shared) >= _TEXTS_KNOWN or self._kept >= _SHARED_KEPT:
            self._shared.clear()
            self._kept = 0
        self._shared[id(candidates), asked] = candidates, known
        self._kept += len(candidates)
        return known

    def _bodies(self, entry: Entry) -> tuple[str | None, str | None]:
        assert entry.bodies is not None
        asked, answered = entry.bodies
        if answered is None and isinstance(entry.answer, list) and entry.answer:
            answered = json.dumps(OPENAI_CHAT.assemble(entry.answer).raw, default=str).encode()
        return masked_body(asked, entry.masks), masked_body(answered, entry.masks)


def _plan_text(plan: Plan) -> str:
    needs = plan.needs
    known = {"model": needs.model, "provider": needs.provider, "fallback": needs.fallback, "zone": needs.zone}
    steps = len(plan.candidates) + len(plan.skipped)
    candidates = [
        {"provider": c.provider, "model": c.model, "asked": c.asked, "state": str(c.state), "reason": c.reason}
        for c in plan.candidates[:_STEPS_KEPT]
    ]
    skipped = [{"provider": s.provider, "model": s.model, "reason": s.reason} for s in plan.skipped[:_STEPS_KEPT]]
    return json.dumps(
        {
            "needs": {**known, "capabilities": sorted(needs.capabilities)},
            "candidates": candidates,
            "skipped": skipped,
            "more": steps - len(candidates) - len(skipped),
        }
    )


def _candidate(plan: Plan, attempt: Attempt) -> Candidate | None:
    for candidate in plan.candidates:
        if candidate.provider == attempt.provider and candidate.model in (attempt.model, None):
            return candidate
    return None


def _cost(link: ProviderLink, prompt: int, completion: int) -> float | None:
    if link.input_price is None and link.output_price is None:
        return None
    return (prompt * (link.input_price or 0.0) + completion * (link.output_price or 0.0)) / 1e6


def _tokens(entry: Entry) -> tuple[int | None, int | None, bool]:
    """Tokens of prompt and answer, and whether they are estimated; None where nothing was used."""
    answer = entry.answer
    usage = entry.usage
    if entry.failure is not None and not (entry.attempts and (entry.committed or entry.failure == "cancelled")):
        return None, None, False
    if type(usage) is dict:  # as most backends say it
        prompt, completion = usage.get("prompt_tokens"), usage.get("completion_tokens")
        if type(prompt) is int and type(completion) is int and prompt >= 0 and completion >= 0:
            return prompt, completion, False
    found = usage if isinstance(usage, Usage) else Usage.read(usage)
    if found is None and isinstance(answer, list):
        found = next((told for chunk in reversed(answer[-_LAST_CHUNKS:]) if (told := chunk.usage)), None)
    elif found is None and isinstance(answer, Mapping):
        found = Usage.read(answer.get("usage"))
    if found is not None:
        return found.prompt_tokens, found.completion_tokens, found.estimated
    if Capability.CHAT not in entry.plan.needs.capabilities:
        return None, None, False
    if isinstance(answer, ChatResponse):
        made = -(-len(answer.text) // _LETTERS_PER_TOKEN)
    else:
        made = len(answer) if answer is not None else 0  # of a stream: most backends send each token alone
    return max(1, entry.plan.needs.prompt_floor * _FLOOR_FACTOR), made, True


def _path(plan: Plan) -> str:
    capabilities = plan.needs.capabilities
    if Capability.EMBEDDINGS in capabilities:
        return "/v1/embeddings"
    return "/v1/completions" if Capability.COMPLETION in capabilities else "/v1/chat/completions"


def _first_user_message(request: ChatRequest, masks: Sequence[Mask]) -> str:
    """How a session begins, where bodies are kept."""
    texts = (content_text(m.get("content")) for m in request.messages if m.get("role") == "user")
    return masked_text(next(texts, "")[:_ERROR_LETTERS], masks)[:200]
