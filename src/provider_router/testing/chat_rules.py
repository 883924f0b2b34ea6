"""The rules of answers: what chat() sends and returns."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given

from provider_router.backends import Answer, Wire, answers, status
from provider_router.plugin import ChatResponse, Provider, ProviderError
from provider_router.testing import strategies
from provider_router.testing.asking import (
    MODEL,
    PATIENT,
    WAYS,
    chats,
    failure_of,
    request,
    sent_text,
    streamed,
    strings,
    told,
)
from provider_router.testing.fakes import Fake
from provider_router.testing.fixtures import Make, ProviderFixtures
from provider_router.testing.rules import Keeps, rule

CONVERSATION = [
    {"role": "system", "content": "You are an ornithologist."},
    {"role": "user", "content": "What did I see?"},
    {"role": "assistant", "content": "A grey heron, I believe."},
    {"role": "user", "content": "Are you sure?"},
]


class ChatRules(ProviderFixtures):
    """What chat() sends and returns."""

    @rule("chat-answers")
    async def test_chat_returns_the_text(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers("One pelican."))
        answer = await provider.chat(request())
        keeps.holds(isinstance(answer, ChatResponse), f"chat() returned {type(answer).__name__}, no ChatResponse")
        keeps.same("One pelican.", answer.text, "the text of the answer")
        keeps.same("assistant", answer.message.get("role"), "the role of its message")

    @rule("chat-answers", Wire.MODEL)
    async def test_chat_says_which_model_answered(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers("Yes.", model="other-model"))
        keeps.same("other-model", (await provider.chat(request())).model, "the model that the backend says it used")

    @rule("chat-answers", Wire.LENGTH)
    @pytest.mark.parametrize("reason", ["stop", "length"])
    async def test_chat_says_why_it_ended(self, reason: str, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers("Once upon", finish_reason=reason))
        keeps.same(reason, (await provider.chat(request())).finish_reason, "finish_reason")

    @rule("chat-answers", Wire.USAGE)
    async def test_chat_says_what_it_used(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers("Yes.", tokens=(11, 7)))
        usage = (await provider.chat(request())).usage
        counted = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) if usage else None
        keeps.same((11, 7, 18), counted, "tokens of prompt, answer and both")

    @rule("chat-answers", Wire.REASONING)
    async def test_chat_keeps_reasoning_beside_the_text(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers("A heron.", reasoning="Grey, and it stands."))
        answer = await provider.chat(request())
        keeps.same(("A heron.", "Grey, and it stands."), (answer.text, answer.reasoning), "text and reasoning")

    @rule("chat-answers")
    @given(said=strategies.texts())
    @strategies.few
    async def test_any_text_comes_back(self, said: str, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers(said))
        keeps.same(said, (await provider.chat(request())).text, "the text of the answer")
        keeps.same(said, (await streamed(provider, request())).text, "the text of all chunks")

    @rule("chat-sends-all")
    async def test_the_question_arrives(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(Answer(text=backend.asked))
        answer = await provider.chat(request('Grüße, 日本, 🦩: "which" bird?\n'))
        keeps.same('Grüße, 日本, 🦩: "which" bird?', answer.text.strip(), "what the backend was asked")

    @rule("chat-sends-all", Wire.HISTORY)
    async def test_the_whole_conversation_arrives(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        await provider.chat(request(CONVERSATION))
        sent = sent_text(backend.requests)
        missing = [message["content"] for message in CONVERSATION if message["content"] not in sent]
        keeps.same([], missing, "messages that never reached the backend")

    @rule("chat-sends-all", Wire.HISTORY)
    async def test_the_parts_of_a_content_arrive(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        parts = [{"type": "text", "text": "Which bird"}, {"type": "text", "text": " is it?"}]
        await provider.chat(request([{"role": "user", "content": parts}]))
        sent = sent_text(backend.requests)
        keeps.holds("Which bird" in sent and " is it?" in sent, f"the text parts did not arrive: {sent}")

    @rule("chat-sends-all", Wire.MODEL)
    async def test_the_model_arrives(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        await provider.chat(request(model="a/model:7b"))
        keeps.holds("a/model:7b" in sent_text(chats(backend)), "the model asked for is not in the request")

    @rule("fields-passed-on")
    @pytest.mark.parametrize("way", WAYS)
    async def test_unknown_fields_reach_the_backend(
        self, way: str, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        await told(provider, request(extra_body={"suite_field": {"inner": ["suite-value", 7]}}), way)
        sent = sent_text(chats(backend))
        keeps.holds("suite_field" in sent and "suite-value" in sent, f"extra_body did not arrive: {sent}")

    @rule("fields-passed-on", Wire.PARAMETERS)
    async def test_known_parameters_reach_the_backend(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        await provider.chat(request(fields={"temperature": 0.25}))
        sent = sent_text(chats(backend))
        keeps.holds("temperature" in sent and "0.25" in sent, f"temperature=0.25 did not arrive: {sent}")

    @rule("fields-carried", Wire.EXTRA)
    async def test_unknown_fields_of_an_answer_are_carried(
        self, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        backend.script(Answer(text="Yes.", extra={"suite_extra": "kept"}))
        answer = await provider.chat(request())
        keeps.holds("kept" in strings(answer.raw), f"suite_extra is not in answer.raw: {answer.raw!r}")
        chunks = (await streamed(provider, request())).chunks
        found = any("kept" in strings(chunk.raw) for chunk in chunks)
        keeps.holds(found, "suite_extra is not in the `raw` of any chunk")

    @rule("headers-passed-on", Wire.HTTP)
    @pytest.mark.parametrize("way", WAYS)
    async def test_extra_headers_reach_the_backend(
        self, way: str, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        await told(provider, request(extra_headers={"X-Suite": "seven"}), way)
        keeps.same(["seven"], [sent.headers.get("x-suite") for sent in chats(backend)], "the header x-suite")

    @rule("request-kept")
    async def test_a_request_is_not_changed(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        asked = request(CONVERSATION, extra_body={"suite_field": [1]}, fields={"tools": [strategies.WEATHER]})
        before, body = copy.deepcopy(dict(asked.raw)), asked.body
        await provider.chat(asked)
        await streamed(provider, asked)
        keeps.same(before, dict(asked.raw), "the request afterwards")
        keeps.same(body, asked.body, "its bytes")

    @rule("way-decided-by-method")
    async def test_chat_and_stream_do_not_heed_the_body(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers("One pelican flew."))
        answer = await provider.chat(request(stream=True, fields={"stream_options": {"include_usage": True}}))
        keeps.same("One pelican flew.", answer.text, "what chat() says to a body with stream: true")
        chunks = [chunk async for chunk in provider.stream(request(stream=False))]
        text = "".join(chunk.text for chunk in chunks)
        keeps.same("One pelican flew.", text, "what stream() says to a body without it")

    @rule("one-try", Wire.HTTP)
    @pytest.mark.parametrize("number", [500, 429, 401, 400])
    async def test_a_failed_call_is_not_tried_again(
        self, number: int, backend: Fake, provider: Provider, keeps: Keeps
    ) -> None:
        backend.script(status(number))
        error = await failure_of(lambda: provider.chat(request()))
        keeps.holds(isinstance(error, ProviderError), f"no ProviderError for the status {number}")
        keeps.same(1, len(chats(backend)), "requests for one call")

    @rule("chat-answers")
    async def test_a_request_without_a_model_is_answered(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers("Yes."))
        keeps.same("Yes.", (await provider.chat(request(model=None))).text, "the text of the answer")

    @rule("chat-answers")
    async def test_one_provider_answers_many_times(self, backend: Fake, provider: Provider, keeps: Keeps) -> None:
        backend.script(answers("first"), answers("second"), answers("third"))
        said = [(await provider.chat(request())).text for _ in range(3)]
        keeps.same(["first", "second", "third"], said, "the answers")

    @rule("chat-answers", Wire.MODEL)
    async def test_the_model_of_a_link_wins(self, fake: Fake, make: Make, keeps: Keeps) -> None:
        with fake as backend:
            provider = make("desk", backend, **{**PATIENT, "default_model": "other"})
            await provider.chat(request(model=MODEL))
            await provider.aclose()
            keeps.holds(MODEL in sent_text(chats(backend)), "default_model took the place of the model asked for")
