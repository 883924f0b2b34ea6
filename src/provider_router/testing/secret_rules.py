"""The rules of secrets and of attempts: what is shown to whom, and what is told while a call runs."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator

import pytest

from provider_router.backends import Wire, answers, says, status
from provider_router.backends.misbehaviour import failing
from provider_router.plugin import Capability, Failure, Provider, ProviderError, error_class
from provider_router.testing.asking import (
    PATIENT,
    WAYS,
    Watch,
    attempt,
    chats,
    failure_of,
    request,
    sent_text,
    streamed,
    told,
)
from provider_router.testing.fakes import Fake
from provider_router.testing.fixtures import Make, ProviderFixtures
from provider_router.testing.rules import Keeps, rule
from provider_router.testing.type_rules import options_of

_MARK = "suite-secret"


def secret_options(provider: Provider) -> dict[str, object]:
    """A secret for every option of a type that is one: `{"api_key": "sk-suite-secret-api_key", …}`."""
    options: dict[str, object] = {}
    for info in options_of(provider):
        if info.sensitive:
            secret = f"sk-{_MARK}-{info.field}"
            options[info.field] = {"x-suite": secret} if info.kind == "mapping" else secret
    return options


def secrets_in(options: dict[str, object]) -> Iterator[str]:
    for value in options.values():
        yield from value.values() if isinstance(value, dict) else (str(value),)


class SecretRules(ProviderFixtures):
    """Who sees a secret."""

    @rule("secret-hidden")
    async def test_no_secret_is_in_a_repr(self, backend: Fake, provider: Provider, make: Make, keeps: Keeps) -> None:
        guarded = make("desk", backend, **{**PATIENT, **secret_options(provider)})
        shown = [repr(guarded), str(guarded), repr(guarded.config), str(guarded.config), f"{guarded.config}"]
        keeps.same([], [text for text in shown if _MARK in text], "what shows a secret")
        await guarded.aclose()

    @rule("secret-hidden")
    async def test_no_secret_is_in_the_log(
        self, backend: Fake, provider: Provider, make: Make, keeps: Keeps, caplog: pytest.LogCaptureFixture
    ) -> None:
        caplog.set_level(logging.DEBUG)
        guarded = make("desk", backend, **{**PATIENT, **secret_options(provider)})
        await guarded.chat(request())
        await streamed(guarded, request())
        await guarded.check()
        backend.script(status(500, "No."))
        await failure_of(lambda: guarded.chat(request()))
        await guarded.aclose()
        lines = [line for line in caplog.text.splitlines() if _MARK in line]
        keeps.same([], lines, "log lines with a secret")

    @rule("secret-hidden", Wire.HTTP)
    @pytest.mark.parametrize("form", ["status", "status-200", "stream", "page"])
    async def test_no_secret_is_in_an_error_that_echoes_it(
        self, form: str, backend: Fake, provider: Provider, make: Make, keeps: Keeps
    ) -> None:
        options = secret_options(provider)
        if not options:
            return
        guarded = make("desk", backend, **{**PATIENT, **options})
        echo = f"What you sent is odd: {' and '.join(secrets_in(options))}"
        backend.script(
            {
                "status": status(400, echo, code=echo),
                "status-200": says(backend.error(echo, code=echo)),
                "stream": failing(echo),
                "page": says(f"<html><title>{echo}</title></html>".encode(), content_type="text/html"),
            }[form]
        )
        tried: list[ProviderError | None] = [await failure_of(lambda: streamed(guarded, request()))]
        if form != "stream":
            tried.append(await failure_of(lambda: guarded.chat(request())))
        await guarded.aclose()
        shown = [text for error in tried if error is not None for text in _all_of(error)]
        keeps.same([], [text for text in shown if _MARK in text], "what of an error shows a secret")

    @rule("key-shown")
    async def test_the_key_is_shown_to_the_backend(
        self, fake: Fake, provider: Provider, make: Make, keeps: Keeps
    ) -> None:
        option = fake.key_option
        if option not in {info.field for info in options_of(provider)}:
            return
        with fake.fresh(answers("Yes."), key="sk-the-right-one") as backend:
            right = make("desk", backend, **{**PATIENT, option: "sk-the-right-one"})
            wrong = make("desk", backend, **{**PATIENT, option: "sk-a-wrong-one"})
            keeps.same("Yes.", (await right.chat(request())).text, "the answer to the right key")
            keeps.same("Yes.", (await streamed(right, request())).text, "the stream to the right key")
            refusals = [await failure_of(lambda: wrong.chat(request()))]
            refusals.append(await failure_of(lambda: streamed(wrong, request())))
            if Capability.MODELS in type(wrong).capabilities:
                refusals.append(await failure_of(wrong.models))
            await right.aclose()
            await wrong.aclose()
        classes = {error.failure if error else None for error in refusals}
        keeps.same({Failure.AUTH}, classes, "what a wrong key came to")

    @rule("nothing-shared")
    async def test_a_secret_goes_to_its_own_backend_only(
        self, fake: Fake, provider: Provider, make: Make, keeps: Keeps
    ) -> None:
        with fake.fresh() as first, fake.fresh() as second:
            desk = make("desk", first, **{**PATIENT, **secret_options(provider)})
            loft = make("loft", second, **PATIENT)
            await desk.chat(request())
            await loft.chat(request())
            await desk.aclose()
            await loft.aclose()
            keeps.holds(_MARK not in sent_text(second.requests), "a secret of one provider went to another's backend")

    # What an attempt tells

    @rule("progress-told", Wire.HTTP)
    @pytest.mark.parametrize("way", WAYS)
    async def test_an_attempt_tells_how_far_it_is(self, way: str, provider: Provider, keeps: Keeps) -> None:
        watch = Watch()
        await told(provider, attempt(request(), watch=watch), way)
        first_told = list(dict.fromkeys(watch.told))
        keeps.same(["connected", "sent", "head", "arrived"], first_told, "what was told, in order")

    @rule("connection-agreed", Wire.HTTP)
    @pytest.mark.parametrize("way", WAYS)
    async def test_nothing_is_sent_to_an_address_that_is_refused(
        self, way: str, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        refusal = error_class(Failure.CONNECT)("outside of the zone", provider="desk")
        asked = attempt(request(), watch=Watch(refusal=refusal))
        error = await failure_of(lambda: told(provider, asked, way))
        keeps.holds(error is refusal, f"the refusal became {error!r}")
        keeps.same(0, len(backend.requests), "requests that reached the backend all the same")

    @rule("progress-told", Wire.HTTP)
    async def test_a_failed_attempt_tells_what_was_before(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        backend.script(status(503))
        watch = Watch()
        await failure_of(lambda: provider.chat(attempt(request(), watch=watch)))
        keeps.holds({"connected", "sent", "head"} <= set(watch.told), f"only {watch.told} was told")
        keeps.same(1, len(chats(backend)), "requests")


def _all_of(error: ProviderError) -> Iterator[str]:
    yield from (str(error), repr(error), error.message, error.detail, str(error.code), repr(error.args))
    yield from getattr(error, "__notes__", ())
    yield "".join(traceback.format_exception(error))
