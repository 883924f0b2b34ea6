"""The suite finds what is broken, names the rule, and leaves out what a dialect cannot have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import pytest

from provider_router.plugin import ChatRequest, ChatResponse, OpenAICompatibleProvider, Provider, ProviderError
from provider_router.testing import RULES, ContractBroken, Make, OpenAIFake, ProviderSuite
from provider_router.testing.asking import PATIENT
from provider_router.testing.rules import Keeps, Rule

SUITE = ProviderSuite()
TESTS = {name: test for name in dir(ProviderSuite) if name.startswith("test_") for test in [getattr(SUITE, name)]}


class Good(OpenAICompatibleProvider):
    type = "good"
    label = "Good"


class TellsErrorsAsText(Good):
    async def chat(self, request: ChatRequest) -> ChatResponse:
        try:
            return await super().chat(request)
        except ProviderError as error:
            return ChatResponse.of(text=str(error), model="none")


class DropsUnknownFields(Good):
    def prepared(self, request: ChatRequest) -> ChatRequest:
        return request.changed(**dict.fromkeys(request.extra, ...))


class TriesTwice(Good):
    async def chat(self, request: ChatRequest) -> ChatResponse:
        try:
            return await super().chat(request)
        except ProviderError:
            return await super().chat(request)


class ShowsItsKey(Good):
    def __repr__(self) -> str:
        key = self.config.api_key
        return f"<ShowsItsKey {self.id} {key.reveal() if key else ''}>"


class SharesItsHeaders(Good):
    everybodys: ClassVar[dict[str, str]] = {}

    def auth_headers(self) -> dict[str, str]:
        self.everybodys.update(super().auth_headers())
        return self.everybodys


class ChangesTheRequest(Good):
    def prepared(self, request: ChatRequest) -> ChatRequest:
        request.raw["temperature"] = 1  # type: ignore[index]
        return request


class PromisesEmbeddings(Good):
    async def embed(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        raise NotImplementedError


BROKEN = [
    (PromisesEmbeddings, "test_embeddings_are_made", "declared-works", {}),
    (TellsErrorsAsText, "test_an_error_names_the_model", "error-tells", {}),
    (TellsErrorsAsText, "test_faults_come_to", "fault-has-its-class", {"outcome": "auth"}),
    (DropsUnknownFields, "test_unknown_fields_reach_the_backend", "fields-passed-on", {"way": "stream"}),
    (TriesTwice, "test_a_failed_call_is_not_tried_again", "one-try", {"number": 500}),
    (ShowsItsKey, "test_no_secret_is_in_a_repr", "secret-hidden", {}),
    (SharesItsHeaders, "test_a_secret_goes_to_its_own_backend_only", "nothing-shared", {}),
    (ChangesTheRequest, "test_a_request_is_not_changed", "request-kept", {}),
]


def making(cls: type[Provider]) -> Make:
    return lambda name, fake, **options: cls(name, None, base_url=fake.base_url, **options)


@pytest.mark.parametrize(("cls", "name", "rule", "given"), BROKEN, ids=lambda value: getattr(value, "__name__", ""))
async def test_a_broken_type_is_told_which_rule_it_breaks(
    cls: type[Provider], name: str, rule: str, given: dict[str, Any]
) -> None:
    for subject in (Good, cls):
        with OpenAIFake() as backend:
            known = {"backend": backend, "fake": OpenAIFake(), "make": making(subject), "keeps": Keeps(rule), **given}
            provider = known["provider"] = known["make"]("desk", backend, **PATIENT)
            test = TESTS[name]
            wanted = test.__wrapped__.__code__.co_varnames[1 : test.__wrapped__.__code__.co_argcount]
            arguments = {argument: known[argument] for argument in wanted}
            try:
                if subject is Good:
                    await test(**arguments)
                else:
                    with pytest.raises(ContractBroken) as caught:
                        await test(**arguments)
                    assert (rule, True) == (caught.value.rule, RULES[rule] in str(caught.value))
            finally:
                await provider.aclose()


def test_every_test_is_of_a_rule_and_every_rule_has_a_test() -> None:
    rules = {name: Rule.of(test) for name, test in TESTS.items()}
    assert [] == [name for name, rule in rules.items() if rule is None]
    assert RULES.keys() == {rule.name for rule in rules.values() if rule}


def test_the_suite_has_sixty_cases_and_more() -> None:
    assert len(TESTS) >= 60
