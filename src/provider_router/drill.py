"""A fire drill: one real request with a fault put before the first candidate, to see what the Router does.

The fault is a small backend on this machine. The router is one of its own, so that nothing is held against anybody
afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import ClassVar, Final

import anyio.to_thread
from attrs import frozen

from provider_router.backends import FAULTS
from provider_router.chat import Capability
from provider_router.errors import DeadlineExceeded, NoCandidates, ProviderError, ProviderRouterError
from provider_router.providers.openai_compatible import OpenAICompatibleProvider
from provider_router.routing.router import AsyncRouter
from provider_router.trail import Attempt

DRILLS: Final[Mapping[str, str]] = {
    "503": "503",
    "refuse": "refused",
    "hang": "silent-everywhere",
    "cut": "cut",
    "429": "429",
}
"""The faults of a drill, and the loopback backend that has each."""

_SUBJECT: Final = "drill"
_PROMPT: Final = "Say hello in five words."
_PATIENCE: Final = 1.5  # seconds, so that a drill does not take minutes


class _Faulty(OpenAICompatibleProvider):
    """What stands before the first candidate."""

    type: ClassVar[str] = "drill"
    capabilities: ClassVar[frozenset[Capability]] = frozenset(Capability)

    def __init__(self, id: str, *, base_url: str, default_model: str) -> None:
        # Said by itself, all that a setting could say otherwise.
        limits = dict.fromkeys(("timeout", "connect_timeout", "first_token_timeout", "idle_timeout"), _PATIENCE)
        super().__init__(id, base_url=base_url, default_model=default_model, open=True, **limits)


@frozen(kw_only=True)
class DrillResult:
    """What the Router did.

    Attributes:
        fault: as it was asked for.
        attempts: the drilled one first.
        answer: the text of whoever answered in the end; None if nobody did.
        provider: who that was.
        error: why nobody answered.
    """

    fault: str
    attempts: tuple[Attempt, ...]
    answer: str | None = None
    provider: str = ""
    error: ProviderRouterError | None = None


async def run_drill(
    model: str | None, fault: str, *, database: str | Path | None = None, stream: bool = False, prompt: str = _PROMPT
) -> DrillResult:
    """Ask for real, with a fault first.

    Args:
        model: as for `Router.chat`, also `provider/model`; None takes each provider's own choice.
        fault: one of `DRILLS`.
        database: the configuration's file.
        stream: whether to ask for a stream; a cut shows its whole effect only there.
        prompt: what is asked.

    Raises:
        ValueError: for an unknown fault.
        UnknownModel: no provider serves the model.
        NoCandidates: there is nobody behind the fault.
    """
    if fault not in DRILLS:
        raise ValueError(f"fault: {fault!r} is not one of {', '.join(DRILLS)}")
    async with AsyncRouter(database, share_health=False, history=False) as router:
        plan = await router.plan(model)  # an unknown model is told before anything is started
        model, alone = plan.needs.model, plan.needs.provider
        if alone is not None:  # `id/model`: behind the fault comes this provider, and nobody else
            for other in router.registry.all():
                if other.id != alone:
                    await router.registry.unregister(other.id)
        faulty = FAULTS[DRILLS[fault]].backend()
        backend = await anyio.to_thread.run_sync(faulty.__enter__)
        try:
            subject = next(name for name in map(_named, count(1)) if name not in router.registry)
            router.registry.register(_Faulty(subject, base_url=backend.base_url, default_model=model or "any"))
            return await _ask(router, model, fault, subject=subject, stream=stream, prompt=prompt)
        finally:
            await anyio.to_thread.run_sync(faulty.__exit__, None, None, None)


def _named(number: int) -> str:
    """`drill`, or another name where somebody's provider is called that."""
    return _SUBJECT if number == 1 else f"{_SUBJECT}-{number}"


async def _ask(
    router: AsyncRouter, model: str | None, fault: str, *, subject: str, stream: bool, prompt: str
) -> DrillResult:
    try:
        if not stream:
            answer = await router.chat(prompt, model=model, provider=subject, fallback=True)
            return DrillResult(fault=fault, attempts=answer.attempts, answer=answer.text, provider=answer.provider)
        chunks = router.stream(prompt, model=model, provider=subject, fallback=True)
        async with chunks:
            async for _ in chunks:
                pass
        return DrillResult(fault=fault, attempts=chunks.attempts, answer=chunks.text, provider=chunks.provider)
    except (ProviderError, NoCandidates, DeadlineExceeded) as error:
        return DrillResult(fault=fault, attempts=error.attempts, error=error)
