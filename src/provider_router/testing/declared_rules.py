"""The rules of what is declared: a capability is real, and what is not declared is not attempted."""

from __future__ import annotations

import json
from typing import Any

from provider_router import AsyncRouter, NoCandidates
from provider_router.backends import EVERY_PATH, Model, Wire, answers, calls, says, status
from provider_router.plugin import Capability, Checked, Failure, ModelInfo, Provider, ProviderError
from provider_router.testing.asking import MODEL, PATIENT, chats, failure_of, request, sent_text, streamed, strings
from provider_router.testing.fakes import Fake
from provider_router.testing.fixtures import Make, ProviderFixtures
from provider_router.testing.rules import Keeps, rule
from provider_router.testing.strategies import WEATHER

# One black pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
IMAGE = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}
FORM = {
    "type": "json_schema",
    "json_schema": {
        "name": "bird",
        "schema": {"type": "object", "properties": {"wingspan": {"type": "number"}}, "required": ["wingspan"]},
    },
}
RESULT = "Rain over the harbour, 11 degrees"


class DeclaredRules(ProviderFixtures):
    """What the capabilities promise."""

    def _can(self, provider: Provider, *capabilities: Capability) -> bool:
        return set(capabilities) <= type(provider).capabilities

    @rule("undeclared-unasked")
    async def test_a_request_that_needs_more_than_is_declared_reaches_nobody(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        needs: dict[Capability, dict[str, Any]] = {
            Capability.TOOLS: {"prompt": "hi", "tools": [WEATHER]},
            Capability.VISION: {"prompt": [{"role": "user", "content": [IMAGE]}]},
            Capability.JSON_SCHEMA: {"prompt": "hi", "response_format": FORM},
        }
        async with AsyncRouter(providers=[provider]) as router:
            for capability, asked in needs.items():
                if not self._can(provider, capability):
                    try:
                        await router.chat(**asked)
                        keeps.broken(f"{capability} is not declared, and was answered")
                    except (NoCandidates, ProviderError):
                        pass
        keeps.same(0, len(backend.requests), "requests that reached the backend")

    @rule("undeclared-unasked")
    async def test_a_method_that_is_not_declared_is_refused_unasked(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        methods = {
            Capability.EMBEDDINGS: lambda: provider.embed({"model": MODEL, "input": "a"}),
            Capability.COMPLETION: lambda: provider.complete({"model": MODEL, "prompt": "a"}),
            Capability.MODELS: provider.models,
        }
        for capability, method in methods.items():
            if not self._can(provider, capability):
                error = await failure_of(method)
                keeps.same(Failure.CAPABILITY, error.failure if error else None, f"what {capability} came to")
        keeps.same(0, len(backend.requests), "requests that reached the backend")

    @rule("declared-works")
    async def test_tools_are_offered_and_called(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        if not self._can(provider, Capability.TOOLS):
            return
        backend.script(calls("weather", {"city": "Oslo", "days": 2}))
        answer = await provider.chat(request(fields={"tools": [WEATHER]}))
        sent = sent_text(chats(backend))
        keeps.holds("weather" in sent and "Tells the weather of a place." in sent, f"the tool did not arrive: {sent}")
        called = [(call.name, call.parse()) for call in answer.tool_calls]
        keeps.same([("weather", {"city": "Oslo", "days": 2})], called, "the calls of the answer")
        keeps.same("tool_calls", answer.finish_reason, "its finish_reason")
        keeps.holds(answer.tool_calls[0].id, "the call has no id that its result could name")

    @rule("declared-works")
    async def test_tools_are_called_in_a_stream(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        if not self._can(provider, Capability.TOOLS, Capability.STREAMING):
            return
        backend.script(calls("weather", {"city": "Oslo", "days": 2}, text="I will look."))
        told = await streamed(provider, request(fields={"tools": [WEATHER]}))
        called = [(call.name, json.loads(call.arguments or "{}")) for call in told.tool_calls]
        keeps.same([("weather", {"city": "Oslo", "days": 2})], called, "the calls of all chunks")
        keeps.same("I will look.", told.text.strip(), "the text before the call")
        keeps.same("tool_calls", told.finish_reason, "the last finish_reason")
        keeps.holds(told.tool_calls[0].id, "the call has no id that its result could name")

    @rule("declared-works")
    async def test_the_result_of_a_call_reaches_the_backend(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        if not self._can(provider, Capability.TOOLS):
            return
        backend.script(calls("weather", {"city": "Oslo"}), answers("It rains."))
        said: list[Any] = [{"role": "user", "content": "Weather in Oslo?"}]
        first = await provider.chat(request(said, fields={"tools": [WEATHER]}))
        (call,) = first.tool_calls
        said += [first.message, {"role": "tool", "tool_call_id": call.id, "content": RESULT}]
        second = await provider.chat(request(said, fields={"tools": [WEATHER]}))
        keeps.same("It rains.", second.text, "the answer to the result")
        keeps.same([], second.tool_calls, "its calls")
        sent = sent_text(chats(backend)[-1:])
        keeps.holds(RESULT in sent, f"the tool's result did not arrive: {sent}")
        keeps.holds("Oslo" in sent.replace("Weather in Oslo?", ""), f"the call before it did not arrive: {sent}")

    @rule("declared-works")
    async def test_an_agent_calls_three_times_in_a_row(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        if not self._can(provider, Capability.TOOLS, Capability.STREAMING):
            return
        places = ("Oslo", "Rome", "Lima")
        backend.script(*(calls("weather", {"city": place}) for place in places), answers("All dry."))
        said: list[Any] = [{"role": "user", "content": "Where is it dry?"}]
        for place in places:
            told = await streamed(provider, request(said, fields={"tools": [WEATHER]}))
            keeps.same([{"city": place}], [call.parse() for call in told.tool_calls], "the calls of this round")
            (call,) = told.tool_calls
            function = {"name": call.name, "arguments": call.arguments}
            wire = {"id": call.id, "type": "function", "function": function}
            said.append({"role": "assistant", "content": told.text or None, "tool_calls": [wire]})
            said.append({"role": "tool", "tool_call_id": call.id, "content": f"{place}: {RESULT}"})
        told = await streamed(provider, request(said, fields={"tools": [WEATHER]}))
        keeps.same(("All dry.", []), (told.text, told.tool_calls), "the answer after the rounds")
        sent = sent_text(chats(backend)[-1:])
        missing = [place for place in places if f"{place}: {RESULT}" not in sent]
        keeps.same([], missing, "results that did not arrive")

    @rule("declared-works")
    async def test_an_image_reaches_the_backend(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        content = [{"type": "text", "text": "Which bird?"}, IMAGE]
        message = {"role": "user", "content": content}
        if not self._can(provider, Capability.VISION):
            return
        await provider.chat(request([message]))
        sent = sent_text(backend.requests)
        keeps.holds(PIXEL in sent, "the image's data did not arrive")
        keeps.holds("Which bird?" in sent, "the text beside the image did not arrive")

    @rule("declared-works")
    async def test_a_json_schema_reaches_the_backend(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        if not self._can(provider, Capability.JSON_SCHEMA):
            return
        backend.script(answers('{"wingspan": 1.8}'))
        answer = await provider.chat(request(fields={"response_format": FORM}))
        keeps.same({"wingspan": 1.8}, json.loads(answer.text), "the answer")
        keeps.holds("wingspan" in sent_text(chats(backend)), "the schema did not arrive")

    @rule("declared-works")
    async def test_embeddings_are_made(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        if not self._can(provider, Capability.EMBEDDINGS):
            return
        answer = await provider.embed({"model": MODEL, "input": ["a heron", "a gull"], "suite_field": 7})
        vectors = [item.get("embedding") for item in answer["data"]]
        keeps.same(2, len(vectors), "vectors for two texts")
        keeps.holds(all(isinstance(number, int | float) for vector in vectors for number in vector), "no numbers")
        sent = sent_text(backend.requests)
        keeps.holds("a heron" in sent and "a gull" in sent, f"the texts did not arrive: {sent}")
        keeps.holds("suite_field" in sent, f"an unknown field did not arrive: {sent}")

    @rule("declared-works")
    async def test_texts_are_completed(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        if not self._can(provider, Capability.COMPLETION):
            return
        answer = await provider.complete({"model": MODEL, "prompt": "Once upon", "suite_field": 7})
        keeps.holds(isinstance(answer["choices"][0].get("text"), str), f"no text in {answer!r}")
        sent = sent_text(backend.requests)
        keeps.holds("Once upon" in sent and "suite_field" in sent, f"the request did not arrive whole: {sent}")

    @rule("fault-has-its-class", Wire.HTTP)
    async def test_what_is_passed_through_fails_with_the_same_classes(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        backend.script(status(429), path=EVERY_PATH)
        tried = []
        if self._can(provider, Capability.EMBEDDINGS):
            tried.append(await failure_of(lambda: provider.embed({"model": MODEL, "input": "a"})))
        if self._can(provider, Capability.COMPLETION):
            tried.append(await failure_of(lambda: provider.complete({"model": MODEL, "prompt": "a"})))
        wrong = [error for error in tried if error is None or error.failure is not Failure.RATE_LIMIT]
        keeps.same([], wrong, "what a status 429 became")

    # Models and checks

    @rule("models-listed")
    async def test_models_are_listed(self, fake: Fake, make: Make, keeps: Keeps) -> None:
        names = ("first-model", "second/model:7b")
        with fake.fresh(models=[Model(id=name) for name in names]) as backend:
            provider = make("desk", backend, **PATIENT)
            try:
                if not self._can(provider, Capability.MODELS):
                    return
                listed = await provider.models()
            finally:
                await provider.aclose()
        keeps.holds(all(isinstance(info, ModelInfo) for info in listed), f"not every one is a ModelInfo: {listed!r}")
        keeps.same(sorted(names), sorted(info.id for info in listed), "their ids")
        bare = [info.id for info in listed if not any(info.id in text for text in strings(info.raw))]
        keeps.same([], bare, "models whose `raw` is not the backend's own record")

    @rule("models-listed")
    async def test_a_backend_without_models_lists_none(self, fake: Fake, make: Make, keeps: Keeps) -> None:
        with fake.fresh(models=[]) as backend:
            provider = make("desk", backend, **PATIENT)
            if self._can(provider, Capability.MODELS):
                keeps.same([], await provider.models(), "the models of a backend that has none")
            await provider.aclose()

    @rule("models-listed", Wire.HTTP)
    async def test_a_list_that_fails_is_an_error_and_no_empty_list(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        if not self._can(provider, Capability.MODELS):
            return
        for reply, failure in ((status(500), Failure.SERVER), (says(b"<html></html>"), Failure.MALFORMED)):
            backend.script(reply, path=EVERY_PATH)
            error = await failure_of(provider.models)
            keeps.same(failure, error.failure if error else None, "what a broken list came to")

    @rule("check-answers")
    async def test_a_check_of_a_living_backend_succeeds(self, provider: Provider, keeps: Keeps) -> None:
        checked = await provider.check()
        keeps.holds(isinstance(checked, Checked), f"check() returned {checked!r}, no Checked")

    @rule("check-answers")
    async def test_a_check_costs_no_chat(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        await provider.check()
        if type(provider).free_check:
            keeps.same(0, len(chats(backend)), "chats that a check with free_check = True began")

    @rule("check-answers", Wire.HTTP)
    async def test_a_check_of_a_dead_backend_raises(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.kill()
        error = await failure_of(provider.check)
        keeps.same(Failure.CONNECT, error.failure if error else None, "what a refused check came to")

    @rule("recognised")
    async def test_its_backend_is_recognised(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        cls = type(provider)
        found = await cls.recognise(backend.base_url)
        if cls.recognise.__func__ is Provider.recognise.__func__:  # type: ignore[attr-defined]
            keeps.same(None, found, "what a type that does not look recognises")
            return
        if found is None:
            keeps.broken("its own backend is not recognised at its own address")
        again = cls("found", found)
        try:
            keeps.same(provider.endpoint, again.endpoint, "where the options lead")
            await again.check()
        finally:
            await again.aclose()

    @rule("recognised", Wire.HTTP)
    async def test_nothing_else_is_recognised(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        cls = type(provider)
        for reply in (says({"hello": "world"}), says(b"<html></html>", content_type="text/html"), status(404)):
            backend.script(reply, path=EVERY_PATH)
            keeps.same(None, await cls.recognise(backend.url), "what was recognised in another server")
        backend.kill()
        keeps.same(None, await cls.recognise(backend.url), "what was recognised where nothing listens")
