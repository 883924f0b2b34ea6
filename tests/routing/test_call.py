"""What a caller asked for, taken apart."""

from __future__ import annotations

from typing import Any

import pytest

from provider_router.chat import Capability, ChatFields
from provider_router.chat.request import CALL_OPTIONS
from provider_router.limits import Limits
from provider_router.routing.call import Call, CallOptions, capabilities
from provider_router.routing.snapshot import RoutingSettings


def call(*, stream: bool = False, **options: Any) -> Call:
    return Call.of("hi", options, stream=stream)  # type: ignore[arg-type]


def test_the_routers_own_options_do_not_reach_the_backend() -> None:
    made = call(model="m", provider="a", fallback=True, zone="lan", timeout=5, max_attempts=2, temperature=0.5)
    assert set(made.request.raw) <= {"model", "messages", "temperature", "stream"}
    assert (made.needs.model, made.needs.provider, made.needs.fallback, made.needs.zone) == ("m", "a", True, "lan")


def test_a_timeout_in_seconds_is_the_total_and_limits_are_taken_as_they_are() -> None:
    assert call(timeout=5).wishes.limits == Limits(total=5)
    limits = Limits(total=9, first_token=2)
    assert call(timeout=limits).wishes.limits is limits
    assert call().wishes.limits == Limits()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zone": "moon"}, "zone: 'moon' is not one of"),
        ({"fallback_on": ["truncated"]}, "truncated"),
        ({"fallback_on": ["nonsense"]}, "nonsense"),
        ({"resume": "maybe"}, "resume"),
        ({"max_attempts": 0}, "max_attempts: 0 is no whole number of 1 or more"),
        ({"max_attempts": 2.5}, "max_attempts: 2.5 is no whole number"),
        ({"max_attempts": True}, "max_attempts: True is no whole number"),
        ({"guards": "maybe"}, "guards"),
        ({"fallback_on": 3}, "fallback_on: 3 is no list"),
        ({"timeout": 0}, "timeout: must be a positive number of seconds"),
        ({"timeout": -1}, "timeout: must be a positive number of seconds"),
        ({"timeout": "30s"}, "timeout: must be a positive number of seconds, or Limits.*, not '30s'"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(**options)


@pytest.mark.parametrize(
    ("option", "near"), [("temprature", "temperature"), ("guard", "guards"), ("resumee", "resume"), ("zones", "zone")]
)
def test_an_unknown_option_is_refused_with_the_nearest_name(option: str, near: str) -> None:
    with pytest.raises(TypeError, match=rf"did you mean {near}\?"):
        call(**{option: 0.5})


def test_every_option_of_a_call_is_known_to_the_hint() -> None:
    assert CALL_OPTIONS == CallOptions.__annotations__.keys() - ChatFields.__annotations__.keys()


def test_a_stream_is_no_option() -> None:
    with pytest.raises(TypeError, match=r"with router\.stream"):
        Call.of("hi", {"stream": True}, stream=False)  # type: ignore[typeddict-unknown-key]


@pytest.mark.parametrize(
    "said",
    ["content_policy, bad_request", ["content_policy", "bad_request"], {"content_policy", "bad_request"}],
    ids=["text", "list", "set"],
)
def test_failure_classes_are_a_list_or_a_text_with_commas(said: Any) -> None:
    assert call(fallback_on=said).wishes.fallback_on == {"content_policy", "bad_request"}
    assert call(fallback_on="content_policy").wishes.fallback_on == {"content_policy"}
    assert call(fallback_on=None).wishes.fallback_on is None


def test_a_capability_that_does_not_exist_is_refused_with_those_that_do() -> None:
    assert capabilities("vision") == {Capability.VISION}
    with pytest.raises(ValueError, match=r"'visoin' is not one of chat, .*; did you mean vision"):
        capabilities(["chat", "visoin"])
    with pytest.raises(ValueError, match="there are no others"):
        capabilities(["42"])


def test_a_stream_needs_a_backend_that_streams() -> None:
    assert Capability.STREAMING in call(stream=True).needs.capabilities
    assert Capability.STREAMING not in call().needs.capabilities


def test_what_the_caller_says_holds_over_the_settings() -> None:
    settings = RoutingSettings(max_attempts=4, max_wait=7.0, fallback_on=("auth",), resume="replay", guards="next")
    policy = call().policy(settings, stream=True)
    assert (policy.stream, policy.max_attempts, policy.max_wait, policy.total) == (True, 4, 7.0, None)
    assert (policy.fallback_on, policy.resume, policy.guards) == (frozenset({"auth"}), "replay", "next")
    said = call(timeout=3, max_attempts=1, fallback_on=["bad_request"], resume="error", guards="off")
    policy = said.policy(settings, stream=False)
    assert (policy.stream, policy.max_attempts, policy.total) == (False, 1, 3)
    assert (policy.fallback_on, policy.resume, policy.guards) == (frozenset({"bad_request"}), "error", "off")


def test_a_conversation_keeps_its_prefix_as_it_grows() -> None:
    def prefix(*messages: tuple[str, str]) -> str:
        asked = [{"role": role, "content": content} for role, content in messages]
        return Call.of(asked, {}, stream=False).prefix()

    first = (("system", "be brief"), ("user", "hi"))
    assert prefix(*first) == prefix(*first, ("assistant", "hello"), ("user", "more"))
    assert prefix(*first) != prefix(("system", "be brief"), ("user", "ho"))
    assert prefix(("system", "x")) == prefix(("system", "x"))


def test_an_empty_list_of_classes_is_nearer_than_the_setting() -> None:
    settings = RoutingSettings(fallback_on=("bad_request",))
    assert call().policy(settings, stream=False).fallback_on == {"bad_request"}
    assert call(fallback_on=[]).policy(settings, stream=False).fallback_on == frozenset()
