"""The configuration out as a document and in again: the same, all or nothing, and no secret on the way."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router import Admin
from provider_router.configuration.document import Document
from provider_router.errors import ConfigError, InvalidConfig
from provider_router.providers.plugins import Plugins
from provider_router.providers.secrets import FileKeeper

NEST = "http://192.168.0.22:1234/v1"


@pytest.fixture
def other(tmp_path: Path, plugins: Plugins) -> Iterator[Admin]:
    """Another database, over the same keeper."""
    with Admin(tmp_path / "other.db", plugins=plugins) as admin:
        yield admin


@pytest.fixture
def full(admin: Admin) -> Admin:
    """Something of every noun."""
    admin.providers.add(
        "desk",
        type="pelican",
        name="The desk",
        priority=7,
        enabled=False,
        description="by the window",
        config={
            "baseURL": NEST,
            "apiKey": "sk-pelican",
            "secondKey": "env:SECOND",
            "headers": {"X-A": "a-secret", "X-B": "file:/b"},
            "timeout": "1500ms",
            "connectTimeout": "3s",
            "tags": ["a", "b"],
        },
    )
    admin.providers.add("wren", type="wren", config={"open": True, "maxParallel": 3})
    admin.models.add("tiny", name="Tiny", description="small", capabilities=["chat"], zone="lan")
    admin.models.add("qwen/3:30b", fallbacks=["tiny"])
    admin.models.add("best", alias_of="qwen/3:30b")
    admin.links.link(
        "desk",
        "qwen/3:30b",
        default=True,
        remote_name="Qwen",
        weight=1.5,
        context_length=1000,
        capabilities=["+tools", "-vision"],
        parameters={"top_k": 40, "stop": ["\n", "é\x7f"], "nested": {"a": [1, 1.5, True]}},
        input_price=0.5,
        output_price=2,
        max_parallel=2,
        limits={"timeout": "20s", "maxAnswerBytes": 100},
    )
    admin.links.link("wren", "tiny")
    admin.settings.set("routing.maxWait", "5s")
    admin.settings.set("routing.fallbackOn", "bad_request,auth")
    admin.settings.set_active("desk")
    admin.credentials.set("env:QWEN_TOKEN", "env:QWEN_COOKIES")
    return admin


LEFT_OUT = ("desk/apiKey", "desk/headers.X-A")


def test_an_export_holds_everything_but_what_the_keeper_has(full: Admin) -> None:
    document = full.export()
    assert LEFT_OUT == document.left_out
    for secret in ("sk-pelican", "a-secret", "secret:"):
        assert secret not in document.json()
    assert {
        "baseURL": NEST,
        "connectTimeout": "3s",
        "headers": {"X-B": "file:/b"},
        "secondKey": "env:SECOND",
        "tags": ["a", "b"],
        "timeout": "1500ms",
    } == document.content["providers"]["desk"]["config"]


def test_toml_says_the_same_as_json(full: Admin) -> None:
    document = full.export()
    assert document.content == tomllib.loads(document.toml())


NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
VALUES = st.recursive(
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_whatever_is_written_as_toml_is_read_as_the_same(content: dict[str, Any]) -> None:
    toml = Document(content=content).toml()
    assert repr(content) == repr(tomllib.loads(toml)) or content == tomllib.loads(toml)


def test_toml_knows_no_null() -> None:
    with pytest.raises(ConfigError, match=r"providers\.desk\.x holds null"):
        Document(content={"providers": {"desk": {"x": [None]}}}).toml()


@pytest.mark.parametrize("suffix", ["json", "toml"])
def test_what_was_exported_can_be_brought_in_elsewhere_and_again(
    full: Admin, other: Admin, tmp_path: Path, suffix: str
) -> None:
    file = tmp_path / f"all.{suffix}"
    file.write_text(getattr(full.export(), suffix)(), encoding="utf-8")
    done = other.import_document(file)
    references = ("desk/secondKey", "desk/headers.X-B", "credentials/token", "credentials/cookies")
    assert set(references) == set(done.left_out)
    other.providers.config("desk").set_many({"secondKey": "env:SECOND", "headers": {"X-B": "file:/b"}})
    other.credentials.set("env:QWEN_TOKEN", "env:QWEN_COOKIES")
    assert full.export().content == other.export().content
    again = other.import_document(file)
    assert (None, (), ()) == (again.change, again.differences, again.left_out)
    assert [f"imported {file.name}"] == [one.what for one in other.changes.log(noun="import")]


def test_an_import_is_one_change_that_can_be_taken_back(full: Admin, other: Admin) -> None:
    other.providers.add("loft", type="wren")
    number = other.import_document(full.export().content).change
    assert number is not None
    assert number.number == 2
    assert "loft" in other.providers
    other.changes.rollback(1)
    assert ["loft"] == [record.id for record in other.providers.list()]


def test_a_dry_run_of_an_import_tells_the_same_and_does_nothing(full: Admin, other: Admin, keeper: FileKeeper) -> None:
    kept = keeper.ids()
    content = {"providers": {"new": {"type": "heron", "config": {"token": "t-in-clear"}}}, **full.export().content}
    planned = other.import_document(content, dry_run=True)
    assert (0, 0, kept) == (other.revision, len(other.providers), keeper.ids())
    done = other.import_document(content)
    assert (planned.differences, planned.left_out) == (done.differences, done.left_out)


def test_a_new_reference_is_left_out_and_one_that_is_there_stays(full: Admin) -> None:
    def bring(**config: object) -> tuple[str, ...]:
        return full.import_document({"providers": {"desk": {"config": config}}}).left_out

    assert () == bring(secondKey="env:SECOND", headers={"X-B": "file:/b"})
    assert ("desk/secondKey",) == bring(secondKey="env:OTHER")
    assert ("desk/apiKey",) == bring(apiKey="secret:0123456789abcdef")
    assert ("desk/headers.X-C",) == bring(headers={"X-C": "cmd:cat /etc/shadow"})
    config = full.providers.config("desk")
    assert ("env:SECOND", "sk-pelican") == (
        config.get("secondKey"),
        full._editor.keeper.get(str(config.records()[0].value).removeprefix("secret:")).reveal(),
    )
    assert {"X-A": "***", "X-B": "file:/b"} == config.get("headers")


def test_a_secret_itself_may_be_given_and_given_again_changes_nothing(full: Admin, keeper: FileKeeper) -> None:
    content = {"providers": {"desk": {"config": {"api_key": "sk-heron", "headers": {"X-A": "a-secret"}}}}}
    assert ["desk"] == [one.subject for one in full.import_document(content).differences]
    assert "sk-heron" in [keeper.get(one).reveal() for one in keeper.ids()]
    assert None is full.import_document(content).change


def test_an_address_that_moves_drops_the_secrets_as_ever(full: Admin, keeper: FileKeeper) -> None:
    content = {"providers": {"desk": {"config": {"baseURL": "http://10.0.0.1:1", "secondKey": "env:SECOND"}}}}
    done = full.import_document(content)
    assert {"desk/apiKey", "desk/secondKey", "desk/headers.X-A", "desk/headers.X-B"} == set(done.left_out)
    assert () == keeper.ids()


def test_a_required_secret_that_is_left_out_does_not_stop_the_import(other: Admin) -> None:
    done = other.import_document({"providers": {"heron": {"type": "heron", "config": {"token": "env:TOKEN"}}}})
    assert ("heron/token",) == done.left_out
    assert "heron" in other.providers


WRONG: dict[str, Any] = {
    "version": 2,
    "provider": {},
    "settings": {"routing.maxWait": 5, "routing.maxWaits": "5s", "active_provider": "nobody"},
    "models": {
        "a": {"fallbacks": ["b"]},
        "b": {"fallbacks": ["a"]},
        "c": {"alias_of": "zzz"},
        "d": {"capabilities": ["sing"], "zone": "moon", "fallbaks": []},
        "e": {"fallbacks": 7},
    },
    "providers": {
        "Desk": {"type": "wren"},
        "one": {"type": "pelican", "priority": "high", "baseURL": NEST, "name": "wren"},
        "two": {"type": "penguin"},
        "three": {"name": "Three"},
        "wren": {"type": "wren", "config": {"timeuot": "5s", "open": "perhaps"}, "enabled": 1},
        "four": {
            "type": "wren",
            "models": {
                "m1": {"default": True, "weight": -1, "timeout": 5, "parameters": "none"},
                "m2": {"default": True, "capabilities": ["sing"], "wait": 5},
            },
        },
        "five": "wren",
    },
    "credentials": {"token": "***", "expiresAt": "soon"},
}

PROBLEMS = """
version: 2 is not known; this version of provider-router reads 1
provider: is not known here; did you mean providers?
[settings] "routing.maxWait": 5: seconds or milliseconds? write 5s or 5ms
[settings] "routing.maxWaits": there is no such setting; did you mean routing.maxWait
[settings] active_provider: there is no provider 'nobody'
[models.a] fallbacks: a circle, a → b → a
[models.c] There is no model 'zzz'
[models.d] fallbaks: is not known here; did you mean fallbacks?
[models.d] capabilities: 'sing' is none
[models.d] zone: 'moon' is not one of
[models.e] fallbacks: has to be a list of texts
[providers.Desk] id: 'Desk' has to be
[providers.one] baseURL: is an option of the type: write it under [providers.one.config]
[providers.one] priority: 'high' is no whole number
[providers.one.config] baseURL: is required
[providers.two] type: no provider type is called 'penguin'
[providers.three] type: is required, one of heron, pelican, wren
[providers.wren] enabled: 1 is neither true nor false
[providers.wren] name: one is named 'wren' already
[providers.wren.config] timeuot: unknown option; did you mean timeout?
[providers.wren.config] open: has to be true or false
[providers.four.models.m1] weight: -1 has to be a number above 0
[providers.four.models.m1] timeout: 5: seconds or milliseconds?
[providers.four.models.m1] parameters: has to be a table
[providers.four.models.m2] wait: is not known here
[providers.four.models.m2] capabilities: '+sing' is none
[providers.four.models] default: m1, m2: only one model can be the default
[providers] five: has to be a table
[credentials] token: this is the mask
[credentials] cookies: is required
[credentials] expiresAt: has to be a time with a time zone
"""


def test_every_problem_is_told_at_once_with_its_table_its_key_and_what_would_do(other: Admin) -> None:
    with pytest.raises(InvalidConfig, match="Nothing was imported") as raised:
        other.import_document(WRONG)
    for expected in PROBLEMS.strip().splitlines():
        assert [expected] == [expected for problem in raised.value.problems if problem.startswith(expected)], expected
    assert (0, 0) == (other.revision, len(other.providers))


def test_what_is_good_of_a_bad_document_is_not_brought_in_either(other: Admin, keeper: FileKeeper) -> None:
    good = {"type": "heron", "config": {"token": "t-in-clear"}}
    with pytest.raises(InvalidConfig):
        other.import_document({"providers": {"good": good, "bad": {"type": "penguin"}}})
    assert (0, ()) == (len(other.providers), keeper.ids())
    assert not keeper.path.exists()


def test_a_type_is_not_changed_under_a_provider(full: Admin) -> None:
    with pytest.raises(InvalidConfig, match="desk is of type pelican"):
        full.import_document({"providers": {"desk": {"type": "wren"}}})


def test_dotted_settings_and_lists_of_models_are_taken(other: Admin) -> None:
    other.import_document(
        tomllib.loads('settings.routing.maxWait = "9s"\n[providers.w]\ntype = "wren"\nmodels = ["a", "b"]\n')
    )
    assert 9000 == other.settings.get("routing.maxWait")
    assert ["a", "b"] == [link.model_id for link in other.links.models_for("w")]


def test_a_new_default_takes_the_place_of_the_old_one(full: Admin) -> None:
    full.import_document({"providers": {"desk": {"models": {"tiny": {"default": True}}}}})
    assert [("qwen/3:30b", False), ("tiny", True)] == [
        (link.model_id, link.default) for link in full.links.models_for("desk")
    ]


@pytest.mark.parametrize(
    "name, text, expected",
    [
        ("x.json", "{", r"x\.json is no JSON: .*line 1"),
        ("x.toml", "a = \n", r"x\.toml is no TOML: .*line 1"),
        ("x.json", "[]", r"x\.json is no document"),
        ("x.json", None, r"x\.json cannot be read: No such file"),
    ],
)
def test_a_file_that_is_no_document_is_told(
    other: Admin, tmp_path: Path, name: str, text: str | None, expected: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError, match=expected):
        other.import_document(tmp_path / name)


def test_what_was_brought_in_is_there_for_whoever_opens_it_next(
    full: Admin, path: Path, open_admin: Callable[..., Admin]
) -> None:
    content = full.export().content
    assert content == open_admin().export().content
