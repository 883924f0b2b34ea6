"""Config: declared once as a class; checked, described, built, stored and shown from that."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from attrs.exceptions import FrozenInstanceError
from hypothesis import given
from hypothesis import strategies as st

from provider_router.errors import InvalidConfig, MissingSecret
from provider_router.limits import ROUTING
from provider_router.providers.config import (
    MASKS,
    Config,
    OptionInfo,
    build_config,
    canonical,
    check_config,
    describe_config,
    option,
    outside_name,
    parse_option,
    shown,
)
from provider_router.providers.secrets import Reference, Secret

URL = "http://localhost:1234/v1"


def region(value: str) -> str:
    if not value.isalpha():
        raise ValueError("holds more than letters")
    return value.lower()


class Web(Config):
    base_url: str = option(help="address of the API", unit="url", example=URL, env="LM_STUDIO_BASE_URL")
    headers: Mapping[str, Secret] = option(factory=dict, help="further headers", sensitive=True)


class Cloud(Web):
    api_key: Secret | None = option(None, help="API key", sensitive=True)
    region: str = option("eu", help="where", parse=region)
    tier: str | None = option(default=None, help="how fast", choices=("fast", "slow"))
    poll: float = option(5.0, help="time between two looks", unit="duration")
    retries: int = option(2, help="how often")
    ratio: float = option(0.5, help="how much")
    strict: bool = option(False, help="whether")
    tags: Sequence[str] = option((), help="words")
    labels: Mapping[str, str] = option(factory=dict, help="names")
    extra: Any = option(None, help="anything")
    expires_at: datetime | None = option(None, help="end of the login")
    org: str | None = option(None, help="organization", name="organization")


class Login(Config):
    token: Secret = option(help="token", sensitive=True, credentials="qwen")


def info(name: str, cls: type[Config] = Cloud) -> OptionInfo:
    return next(info for info in describe_config(cls) if info.name == name)


def problems(values: Mapping[Any, object], cls: type[Config] = Cloud) -> list[str]:
    return list(check_config(cls, {"baseURL": URL, **values}))


# ------------------------------------------------------------------------------------------------------ declaration


def test_a_config_class_is_frozen_and_keyword_only_by_itself() -> None:
    config = Cloud(base_url=URL)
    assert (config.base_url, config.region, config.headers, config.timeout) == (URL, "eu", {}, None)
    with pytest.raises(FrozenInstanceError):
        config.region = "us"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Cloud(URL)  # type: ignore[misc]


def test_two_configs_do_not_share_their_mappings() -> None:
    assert Cloud(base_url=URL).headers is not Cloud(base_url=URL).headers


def test_a_third_party_s_class_type_checks(tmp_path: Path) -> None:
    pytest.importorskip("mypy")
    path = tmp_path / "third_party.py"
    path.write_text(
        "from provider_router.providers.config import Config, option\n"
        "class Web(Config):\n"
        "    base_url: str = option(help='address')\n"
        "class Third(Web):\n"
        "    region: str = option(default='eu', help='where')\n"
        "    zoom: int | None = option(default=None, help='how near')\n"
        "third = Third(base_url='http://localhost', region='us')\n"
        "reveal_type(third.region)\n"
        "reveal_type(third.timeout)\n"
    )
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    notes = [line.partition("note: ")[2] for line in done.stdout.splitlines() if "note: " in line]
    assert (done.returncode, notes) == (0, ['Revealed type is "str"', 'Revealed type is "float | None"']), done.stdout


@pytest.mark.parametrize(
    "field, name",
    [
        ("base_url", "baseURL"),
        ("api_key", "apiKey"),
        ("expires_at", "expiresAt"),
        ("first_token_timeout", "firstTokenTimeout"),
        ("timeout", "timeout"),
        ("url", "url"),
    ],
)
def test_the_name_outside_python_follows_from_the_field(field: str, name: str) -> None:
    assert outside_name(field) == name


def test_options_describe_themselves_the_required_ones_first() -> None:
    infos = describe_config(Cloud)
    assert [info.name for info in infos][:4] == ["baseURL", "headers", "apiKey", "region"]
    assert infos[0] == OptionInfo(
        name="baseURL",
        field="base_url",
        kind="url",
        required=True,
        help="address of the API",
        unit="url",
        example=URL,
        env="LM_STUDIO_BASE_URL",
    )
    assert {info.name: info.kind for info in infos if info.field in Cloud.__annotations__} == {
        "apiKey": "text",
        "region": "text",
        "tier": "text",
        "poll": "duration",
        "retries": "integer",
        "ratio": "number",
        "strict": "boolean",
        "tags": "list",
        "labels": "mapping",
        "extra": "json",
        "expiresAt": "moment",
        "organization": "text",
    }
    assert (info("headers").kind, info("headers").sensitive, info("headers").default) == ("mapping", True, {})
    assert (info("tier").choices, info("zone").choices) == (("fast", "slow"), ("loopback", "lan", "internet"))


def test_every_provider_has_the_routing_options_that_make_sense_for_one() -> None:
    common = [info for info in describe_config(Config) if info.name != "defaultModel"]
    names = (
        "timeout connectTimeout firstTokenTimeout idleTimeout checkAfter upstreamStream maxAnswerBytes maxParallel "
        "zone open retryAfterMax"
    )
    assert [info.name for info in common] == names.split()
    assert all(info.help == ROUTING[info.name].help and not info.required and info.default is None for info in common)
    assert [info.name for info in describe_config(Cloud)][-len(common) :] == names.split()


def test_an_author_s_fault_in_a_declaration_is_named() -> None:
    class Bare(Config):
        region: str = "eu"

    class Clear(Config):
        token: str = option(help="token", sensitive=True)

    class Hidden(Config):
        token: Secret = option(help="token")

    with pytest.raises(TypeError, match="region has to be declared with option"):
        describe_config(Bare)
    for cls in (Clear, Hidden):
        with pytest.raises(TypeError, match="token: declare sensitive=True and annotate Secret"):
            describe_config(cls)


# -------------------------------------------------------------------------------------------------------- checking


def test_values_that_fit_have_no_problems() -> None:
    values = {
        "apiKey": "env:KEY",
        "region": "us",
        "tier": "fast",
        "poll": "30s",
        "retries": 5.0,
        "ratio": 1,
        "strict": True,
        "tags": ["a", "b"],
        "labels": {"a": "b"},
        "extra": [1, {"a": None}],
        "expiresAt": 1_800_000_000,
        "organization": "o",
        "defaultModel": "m",
        "timeout": 180_000,
        "maxParallel": 4,
        "upstreamStream": True,
        "zone": "lan",
        "headers": {"X-A": "file:/key"},
    }
    assert problems(values) == []


@pytest.mark.parametrize(
    "values, problem",
    [
        ({"baseurl": URL}, "baseurl: unknown option; did you mean baseURL?"),
        ({"base-url": URL}, "base-url: unknown option; did you mean baseURL?"),
        ({"api_kei": "x"}, "api_kei: unknown option; did you mean apiKey?"),
        ({7: "x"}, "7: unknown option; there are baseURL, headers"),
        ({"base_url": URL}, "baseURL: is given twice, also as base_url"),
        ({"timeout": 20}, "timeout: 20: seconds or milliseconds? write 20s or 20ms"),
        ({"timeout": "20"}, "timeout: 20: seconds or milliseconds? write 20s or 20ms"),
        ({"timeout": True}, "timeout: True is no duration"),
        ({"retries": "5"}, "retries: has to be a whole number, not '5'"),
        ({"retries": 5.5}, "retries: has to be a whole number, not 5.5"),
        ({"retries": True}, "retries: has to be a whole number, not True"),
        ({"ratio": "0.5"}, "ratio: has to be a number, not '0.5'"),
        ({"ratio": float("nan")}, "ratio: nan is no number"),
        ({"strict": "true"}, "strict: has to be true or false, not 'true'"),
        ({"strict": 1}, "strict: has to be true or false, not 1"),
        ({"upstreamStream": "false"}, "upstreamStream: has to be true or false, not 'false'"),
        ({"organization": 7}, "organization: has to be a text, not 7"),
        ({"organization": " "}, "organization: is empty"),
        ({"organization": ["x" * 100]}, "organization: has to be a text, not ['xxx"),
        ({"region": "eu-1"}, "region: holds more than letters"),
        ({"tier": "quick"}, "tier: 'quick' is not one of fast, slow"),
        ({"zone": "moon"}, "zone: 'moon' is not one of loopback, lan, internet"),
        ({"maxParallel": 0}, "maxParallel: 0 is no whole number of 1 or more"),
        ({"tags": "a,b"}, "tags: has to be a list of texts, not 'a,b'"),
        ({"tags": ["a", 1]}, "tags: has to be a list of texts, not ['a', 1]"),
        ({"labels": "a=b"}, "labels: has to be a mapping, not 'a=b'"),
        ({"labels": {"a": {1}}}, "labels: holds what JSON does not know"),
        ({"extra": float("inf")}, "extra: holds what JSON does not know"),
        ({"expiresAt": "tomorrow"}, "expiresAt: 'tomorrow' is no time; write 2027-"),
        ({"expiresAt": 1e300}, "expiresAt: 1e+300 is no time"),
        ({"expiresAt": True}, "expiresAt: True is no time"),
        ({"apiKey": 7}, "apiKey: has to be a text"),
        ({"apiKey": ""}, "apiKey: is empty"),
        ({"apiKey": "a\nb"}, "apiKey: holds a line break or another control character"),
        ({"apiKey": "env:"}, "apiKey: env: names nothing; write env:NAME"),
        ({"headers": "X-A: b"}, "headers: has to be a mapping"),
        ({"headers": {"X-A": 7}}, "headers.X-A: has to be a text"),
    ],
)
def test_a_value_that_does_not_fit_is_named_with_its_mend(values: dict[Any, object], problem: str) -> None:
    found = problems(values)
    assert len(found) == 1
    assert found[0].startswith(problem)


@pytest.mark.parametrize(
    "address, problem",
    [
        ("localhost:1234", "has to begin with http:// or https://"),
        ("ftp://host", "has to begin with http:// or https://"),
        ("http://", "names no host"),
        ("http://host:0", "names no host"),
        ("http://host:99999", "is no address"),
        ("http://[::1", "is no address"),
        ("http://me:hush@host/v1", "must hold no user and password"),
        ("http://host/v1?key=hush", "must end with the path"),
        ("http://host/v1#hush", "must end with the path"),
        ("http://ho st/v1", "must hold no space"),
        ("http://ho\x00st/v1", "must hold no space"),
    ],
)
def test_an_address_that_will_not_do_is_refused_without_showing_it(address: str, problem: str) -> None:
    (found,) = check_config(Web, {"baseURL": address})
    assert found.startswith(f"baseURL: {problem}")
    assert "hush" not in found


def test_every_problem_is_found_at_once() -> None:
    found = check_config(Cloud, {"baseurl": URL, "timeout": 20, "headers": {"X-A": 7, "X-B": ""}})
    assert [problem.partition(":")[0] for problem in found] == [
        "baseurl",
        "timeout",
        "headers.X-A",
        "headers.X-B",
        "baseURL",
    ]


def test_what_is_required_and_missing_says_what_it_is_for() -> None:
    assert check_config(Web, {}) == (f"baseURL: is required (address of the API, such as {URL})",)
    assert check_config(Web, {"baseURL": None}) == check_config(Web, {})
    assert check_config(Login, {}) == ()  # a credential set may give it
    with pytest.raises(
        InvalidConfig, match=r"token: is required \(token\); set it, or, where .* `prouter credentials set`"
    ):
        build_config(Login, {})


def test_a_mask_never_becomes_a_value() -> None:
    for mask in MASKS:
        values = {"baseURL": URL, "apiKey": mask, "headers": {"X-A": mask, "X-B": "b"}}
        assert canonical(Cloud, values) == {"baseURL": URL, "headers": {"X-B": "b"}}


def test_no_problem_shows_a_secret() -> None:
    values = {"apiKey": "hush\n", "headers": {"X-A": "hush\0"}, "baseURL": "http://hush@h"}
    found = check_config(Cloud, values)
    assert len(found) == 3
    assert "hush" not in str(found)


@given(
    st.dictionaries(
        st.sampled_from([info.name for info in describe_config(Cloud)]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.lists(st.text()),
    )
)
def test_any_values_are_either_refused_with_reasons_or_built(values: dict[str, object]) -> None:
    found = check_config(Cloud, values)
    if found:
        with pytest.raises(InvalidConfig) as caught:
            build_config(Cloud, values)
        assert caught.value.problems == found
    else:
        assert isinstance(build_config(Cloud, values, resolve=lambda _: Secret("key")), Cloud)


# ---------------------------------------------------------------------------------------------------------- storing


def test_either_spelling_is_kept_under_the_name_outside_python() -> None:
    kept = canonical(Cloud, {"base_url": "HTTP://Host:1234/v1//", "poll": "1m", "retries": 3.0, "region": "US"})
    assert kept == {"baseURL": "http://Host:1234/v1", "poll": 60_000, "retries": 3, "region": "us"}
    assert isinstance(kept["retries"], int)


def test_text_that_looks_like_something_else_stays_text() -> None:
    assert canonical(Cloud, {"organization": "007", "defaultModel": "true"}) == {
        "organization": "007",
        "defaultModel": "true",
    }


def test_storing_a_part_asks_for_nothing_else() -> None:
    assert canonical(Cloud, {"timeout": "30s"}) == {"timeout": 30_000}
    with pytest.raises(InvalidConfig) as caught:
        canonical(Cloud, {"timeout": 30, "retries": "x"})
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    "moment",
    [
        1_800_000_000,
        1_800_000_000_000,
        1_800_000_000.0,
        "2027-01-15T08:00:00+00:00",
        "2027-01-15T08:00:00",
        datetime(2027, 1, 15, 8, tzinfo=UTC),
    ],
)
def test_a_moment_is_kept_in_milliseconds_however_it_is_written(moment: object) -> None:
    assert canonical(Cloud, {"expiresAt": moment}) == {"expiresAt": 1_800_000_000_000}
    built = build_config(Cloud, {"baseURL": URL, "expiresAt": moment})
    assert built.expires_at == datetime(2027, 1, 15, 8, tzinfo=UTC)


# --------------------------------------------------------------------------------------------------------- building


def test_durations_are_seconds_in_python() -> None:
    config = build_config(Cloud, {"baseURL": URL, "timeout": 180_000, "poll": "500ms"})
    assert (config.timeout, config.poll) == (180.0, 0.5)


def test_keyword_options_are_python_s_and_go_before_the_mapping() -> None:
    config = build_config(
        Cloud,
        {"baseURL": "http://elsewhere", "timeout": "9s", "region": "us"},
        options={"base_url": URL, "timeout": 20, "poll": "1s", "region": None},
    )
    assert (config.base_url, config.timeout, config.poll, config.region) == (URL, 20.0, 1.0, "us")


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), float("inf"), True, "soon"])
def test_a_keyword_duration_that_is_none_is_refused(timeout: object) -> None:
    with pytest.raises(InvalidConfig) as caught:
        build_config(Web, {}, options={"base_url": URL, "timeout": timeout}, whose="desk")
    assert [problem.partition(":")[0] for problem in caught.value.problems] == ["timeout"]
    assert "desk" in str(caught.value)


def test_a_keyword_that_is_none_is_named_with_a_near_miss_in_python_s_spelling() -> None:
    with pytest.raises(InvalidConfig) as caught:
        build_config(Web, {}, options={"base_ulr": URL})
    assert caught.value.problems[0] == "base_ulr: unknown option; did you mean base_url?"


def test_secrets_are_looked_up_and_others_wrapped() -> None:
    seen: list[Reference] = []

    def resolve(reference: Reference) -> Secret:
        seen.append(reference)
        return Secret("found")

    values = {"baseURL": URL, "apiKey": "secret:a1", "headers": {"X-A": "plain", "X-B": Secret("env:no reference")}}
    config = build_config(Cloud, values, resolve=resolve)
    assert (config.api_key.reveal(), config.headers["X-A"].reveal()) == ("found", "plain")
    assert config.headers["X-B"].reveal() == "env:no reference"
    assert seen == [Reference("secret", "a1")]
    assert "found" not in repr(config)
    assert "plain" not in repr(config)


def test_env_and_file_are_looked_up_without_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "key").write_text("from a file\n")
    monkeypatch.setenv("DESK_KEY", "from the environment")
    values = {"baseURL": URL, "apiKey": "env:DESK_KEY", "headers": {"X-A": f"file:{tmp_path / 'key'}"}}
    config = build_config(Cloud, values)
    assert config.api_key.reveal() == "from the environment"
    assert config.headers["X-A"].reveal() == "from a file"


def test_a_missing_secret_names_provider_option_and_mend() -> None:
    with pytest.raises(MissingSecret, match="desk, option apiKey: the environment variable NO_SUCH is not set; set it"):
        build_config(Cloud, {"baseURL": URL, "apiKey": "env:NO_SUCH"}, whose="desk")


def test_a_reference_that_leads_to_no_secret_is_an_error_of_that_option(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("two\nlines\n")
    for path, message in ((tmp_path, "no ordinary file"), (tmp_path / "key", "a line break")):
        with pytest.raises(MissingSecret, match=f"desk, option apiKey: .*{message}") as caught:
            build_config(Cloud, {"baseURL": URL, "apiKey": f"file:{path}"}, whose="desk")
        assert "two" not in str(caught.value)


def test_a_type_can_check_its_options_together() -> None:
    class Range(Config):
        low: int = option(1, help="least")
        high: int = option(2, help="most")

        def __attrs_post_init__(self) -> None:
            if self.low > self.high:
                raise ValueError("low: has to be under high")

    assert build_config(Range, {"low": 2}).low == 2
    with pytest.raises(InvalidConfig) as caught:
        build_config(Range, {"low": 3})
    assert caught.value.problems == ("low: has to be under high",)


# ---------------------------------------------------------------------------------------------------- command lines


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("organization", "007", "007"),
        ("baseURL", URL, URL),
        ("timeout", "30s", "30s"),
        ("retries", " 7", 7),
        ("ratio", "0.25", 0.25),
        ("strict", "True", True),
        ("strict", "no", False),
        ("tags", "a, b", ["a", "b"]),
        ("tags", '["a,b"]', ["a,b"]),
        ("headers", "X-A=env:KEY=1", {"X-A": "env:KEY=1"}),
        ("headers", '{"X-A": "b"}', {"X-A": "b"}),
        ("extra", "null", None),
        ("expiresAt", "1800000000", 1_800_000_000),
        ("expiresAt", "2027-01-15", "2027-01-15"),
        ("apiKey", "env:KEY", "env:KEY"),
    ],
)
def test_a_command_line_s_text_becomes_a_typed_value(name: str, text: str, value: object) -> None:
    parsed = parse_option(info(name), text)
    assert (parsed, type(parsed)) == (value, type(value))
    assert problems({name: value} if name != "baseURL" else {}) == []


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("retries", "7x", "'7x' is no whole number"),
        ("ratio", "half", "'half' is no number"),
        ("strict", "perhaps", "'perhaps' is neither true nor false"),
        ("extra", "{", "this is no JSON"),
        ("headers", "hush", "write NAME=VALUE, or JSON"),
        ("headers", '{"X-A": hush', "this is no JSON"),
    ],
)
def test_a_command_line_s_text_that_cannot_be_read_is_refused(name: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        parse_option(info(name), text)
    assert "hush" not in str(caught.value)


# ---------------------------------------------------------------------------------------------------------- display


def test_a_display_shows_references_but_no_secret() -> None:
    stored = {
        "baseURL": "http://me:hush@host/v1",
        "apiKey": "secret:hush",
        "headers": {"X-A": "env:KEY", "X-B": "file:/key", "X-C": "cmd:show hush", "X-D": "hush"},
        "timeout": 30_000,
        "oldToken": "hush",
    }
    assert shown(Cloud, stored) == {
        "baseURL": "http://***@host/v1",
        "apiKey": "***",
        "headers": {"X-A": "env:KEY", "X-B": "file:/key", "X-C": "***", "X-D": "***"},
        "timeout": 30_000,
        "oldToken": "***",
    }
