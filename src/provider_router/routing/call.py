"""Call: what a caller asked for, taken apart into a request, its needs and its policy."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final, TypedDict

from attrs import define, frozen

from provider_router.chat import CALL_OPTIONS, Capability, ChatFields, ChatRequest, Prompt
from provider_router.dialects.dialect import Dialect
from provider_router.dialects.openai_chat import OPENAI_CHAT
from provider_router.limits import ROUTING, UNSAID, ZONES, Limits
from provider_router.routing.plan import Needs
from provider_router.routing.snapshot import RoutingSettings
from provider_router.routing.walk import Policy


class CallOptions(ChatFields, total=False):
    """What `chat` and `stream` take besides the prompt: the fields of a chat request, and these.

    Attributes:
        model: the model to ask for, an alias, or `provider/model`; the provider's own choice if left out.
        provider: ask this provider alone …
        fallback: … or first, with the others after it.
        zone: how far the request may go: `loopback`, `lan`, `internet`.
        timeout: seconds for the whole call, or `Limits(total=, connect=, first_token=, idle=)`.
        max_attempts: most upstream calls.
        fallback_on: failure classes that go on to the next provider though they usually stop: one, several with
            commas between them, or a list; an empty one for none, whatever the setting says.
        resume: what a stream cut after its first text does: `error`, or `replay` elsewhere.
        guards: what a doubtful answer does: `off`, `warn` (`answer.warnings`), `next`.
        session: a name for requests that belong together, by which the history finds them.
        extra_body: fields that are not known here.
        extra_headers: headers for the backend.
    """

    model: str | None
    provider: str | None
    fallback: bool
    zone: str | None
    timeout: float | Limits | None
    max_attempts: int | None
    fallback_on: str | Iterable[str] | None
    resume: str | None
    guards: str | None
    session: str | None
    extra_body: Mapping[str, Any] | None
    extra_headers: Mapping[str, str] | None


class PassOptions(TypedDict, total=False):
    """What `embed` and `complete` take besides the body, each as in `CallOptions`."""

    provider: str | None
    fallback: bool
    zone: str | None
    timeout: float | Limits | None


@frozen(kw_only=True, cache_hash=True)
class Wishes:
    """What a caller said of how the request is to go, over the settings. `limits` are bounds in seconds."""

    limits: Limits = UNSAID
    max_attempts: int | None = None
    fallback_on: frozenset[str] | None = None
    resume: str | None = None
    guards: str | None = None


_NONE: Final = Wishes()
_WISHES: Final = frozenset(["timeout", "max_attempts", "fallback_on", "resume", "guards"])


@define(eq=False)
class Call:
    """One request of a caller."""

    request: ChatRequest
    dialect: Dialect
    needs: Needs
    wishes: Wishes = _NONE
    session: str | None = None

    @classmethod
    def of(cls, prompt: Prompt | ChatRequest, options: CallOptions, *, stream: bool) -> Call:
        """From what a caller typed.

        Raises:
            TypeError: for an option that is not known, naming the nearest.
            ValueError: for a value that cannot be meant.
        """
        if not options:
            request = ChatRequest.of(prompt, stream=stream)
            return cls(request, OPENAI_CHAT, _needs(request, _keeper(request)))
        provider, zone = options.get("provider"), options.get("zone")
        session: Any = options.get("session")
        wishes = _wishes(options)
        if session is not None and not (isinstance(session, str) and session):
            raise ValueError(f"session: a name is a text that is not empty, not {session!r}")
        _check_zone(zone)
        request = ChatRequest.of(
            prompt,
            model=options.get("model"),
            stream=stream,
            extra_body=options.get("extra_body"),
            extra_headers=options.get("extra_headers"),
            fields={name: value for name, value in options.items() if name not in CALL_OPTIONS},
        )
        fallback = options.get("fallback", False)
        if (keeper := _keeper(request)) is not None:
            if provider not in (None, keeper):
                raise ValueError(f"provider: the conversation lies with {keeper!r}, not with {provider!r}")
            provider, fallback = keeper, False
        return cls(request, OPENAI_CHAT, _needs(request, provider, fallback=fallback, zone=zone), wishes, session)

    @classmethod
    def passing(cls, body: Mapping[str, Any], capability: Capability, options: PassOptions) -> Call:
        """From a body that is handed through.

        Raises:
            TypeError: for an option that is not known, naming the nearest.
            ValueError: for a value that cannot be meant.
        """
        known = list(PassOptions.__annotations__)
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"did you mean {near[0]}?" if near else "what the backend knows goes into the body"
                raise TypeError(f"unknown option {name!r}; {hint}")
        zone, model = options.get("zone"), body.get("model")
        _check_zone(zone)
        return cls(
            ChatRequest(body),
            OPENAI_CHAT,
            Needs(
                model=model if isinstance(model, str) else None,
                provider=options.get("provider"),
                fallback=options.get("fallback", False),
                zone=zone,
                capabilities=frozenset({capability}),
            ),
            Wishes(limits=_limits(options.get("timeout"))),
        )

    def prefix(self) -> str:
        """What the conversation begins with, in short: all up to the first message of its user."""
        digest = blake2b(digest_size=8)
        for message in self.request.messages:
            digest.update(repr(message).encode(errors="replace"))
            if message.get("role") == "user":
                break
        return digest.hexdigest()

    def policy(self, settings: RoutingSettings, *, stream: bool) -> Policy:
        """What holds for this call: what the caller said, else the settings."""
        wanted = self.request.raw.get("n")
        choices = max(wanted, 1) if isinstance(wanted, int) else 1
        return _policy(self.wishes, settings, stream=stream, choices=choices)


@lru_cache(maxsize=256)
def _policy(wishes: Wishes, settings: RoutingSettings, *, stream: bool, choices: int) -> Policy:
    return Policy(
        stream=stream,
        total=wishes.limits.total,
        limits=wishes.limits,
        max_attempts=wishes.max_attempts or settings.max_attempts,
        max_wait=settings.max_wait,
        fallback_on=frozenset(settings.fallback_on) if wishes.fallback_on is None else wishes.fallback_on,
        resume=wishes.resume or settings.resume,
        guards=wishes.guards or settings.guards,
        choices=choices,
    )


def _needs(request: ChatRequest, provider: str | None, *, fallback: bool = False, zone: str | None = None) -> Needs:
    return Needs(
        model=request.model,
        provider=provider,
        fallback=fallback,
        zone=zone,
        capabilities=OPENAI_CHAT.needs(request),
        prompt_floor=OPENAI_CHAT.prompt_floor(request),
    )


def _wishes(options: CallOptions) -> Wishes:
    if _WISHES.isdisjoint(options):
        return _NONE
    return Wishes(
        limits=_limits(options.get("timeout")),
        max_attempts=_parsed("max_attempts", "maxAttempts", options.get("max_attempts")),
        fallback_on=_failures(options.get("fallback_on")),
        resume=_parsed("resume", "resume", options.get("resume")),
        guards=_parsed("guards", "guards", options.get("guards")),
    )


def _check_zone(zone: object) -> None:
    if zone is not None and zone not in ZONES:
        raise ValueError(f"zone: {zone!r} is not one of {', '.join(ZONES)}")


def _keeper(request: ChatRequest) -> str | None:
    """The provider on whose server the conversation lies that a request goes on with, if it does: only that one can."""
    conversation = request.raw.get("conversation")
    provider = conversation.get("provider") if isinstance(conversation, Mapping) else None
    return provider if isinstance(provider, str) and provider else None


def _parsed(name: str, option: str, value: object) -> Any:
    if value is None:
        return None
    try:
        return ROUTING[option].parse(value)
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _failures(value: object) -> frozenset[str] | None:
    if value is None:
        return None
    if isinstance(value, Iterable) and not isinstance(value, str):
        value = tuple(value)
    try:
        return frozenset(ROUTING["fallbackOn"].parse(value))
    except ValueError as error:
        raise ValueError(f"fallback_on: {error}") from None


def _limits(timeout: object) -> Limits:
    if timeout is None or isinstance(timeout, Limits):
        return timeout or UNSAID
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not timeout > 0:
        raise ValueError(f"timeout: must be a positive number of seconds, or Limits(…), not {timeout!r}")
    return Limits(total=timeout)


def capabilities(needs: str | Iterable[str]) -> frozenset[Capability]:
    """What `plan(needs=…)` names.

    Raises:
        ValueError: for what is no capability.
    """
    wanted = (needs,) if isinstance(needs, str) else tuple(needs)
    if unknown := [need for need in wanted if need not in list(Capability)]:
        near = difflib.get_close_matches(str(unknown[0]), list(Capability), 1)
        hint = f"did you mean {near[0]}?" if near else "there are no others"
        raise ValueError(f"needs: {unknown[0]!r} is not one of {', '.join(Capability)}; {hint}")
    return frozenset(map(Capability, wanted))
