"""admin.providers.config(id): values checked against the type, and secrets that never lie in the database."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from provider_router.configuration.admin import Admin
from provider_router.errors import ConfigError, InvalidConfig, MissingSecret, UnknownProvider
from provider_router.plugin import Provider, Secret
from provider_router.providers.plugins import Plugins
from provider_router.providers.secrets import FileKeeper
from provider_router.store import ChangeRecord

URL = "http://192.168.0.22:1234/v1"
ELSEWHERE = "http://evil.example:1234/v1"
SECRET = "sk-brown-pelican-4711"
OTHER = "sk-white-pelican-0815"
Changes = Callable[[], tuple[ChangeRecord, ...]]


def reference_of(admin: Admin, key: str = "apiKey") -> object:
    return {record.key: record.value for record in admin.providers.config("desk").records()}[key]


def test_options_are_set_read_and_unset(admin: Admin, desk: str) -> None:
    config = admin.providers.config(desk)
    edited = config.set("default_model", "qwen3-max")
    assert edited.touched == ("defaultModel",)
    assert (config.get("defaultModel"), config.get("default_model")) == ("qwen3-max", "qwen3-max")
    assert "default_model" in config
    assert len(config) == 2
    config.unset("defaultModel")
    assert "defaultModel" not in config
    assert config.get("defaultModel", "none") == "none"


def test_values_keep_their_types(admin: Admin, desk: str) -> None:
    config = admin.providers.config(desk)
    config.set_many({"defaultModel": "007", "maxParallel": 3, "open": False, "tags": ["a", "b"]})
    assert config.all() == {
        "baseURL": URL,
        "defaultModel": "007",
        "maxParallel": 3,
        "open": False,
        "tags": ["a", "b"],
    }


@pytest.mark.parametrize(
    ("given", "kept", "built"), [("30s", 30000, 30.0), (180000, 180000, 180.0), ("500ms", "500ms", 0.5)]
)
def test_durations_are_kept_so_that_they_can_be_read_again(
    admin: Admin, desk: str, given: object, kept: object, built: float
) -> None:
    config = admin.providers.config(desk)
    config.set("timeout", given)
    assert config.get("timeout") == kept
    assert config.build_config().timeout == built
    config.set("maxParallel", 2)
    assert config.build_config().timeout == built


def test_a_bare_timeout_of_20_is_refused_and_nothing_is_written(admin: Admin, desk: str) -> None:
    revision = admin.revision
    for value in (20, "20"):
        with pytest.raises(InvalidConfig, match="seconds or milliseconds"):
            admin.providers.config(desk).set_many({"defaultModel": "x", "timeout": value})
    assert admin.revision == revision
    assert admin.providers.config(desk).all() == {"baseURL": URL}


def test_every_problem_is_told_at_once(admin: Admin, desk: str) -> None:
    with pytest.raises(InvalidConfig) as caught:
        admin.providers.config(desk).set_many(
            {"baseURL": "nonsense", "maxParallel": "many", "apikey": SECRET, "timeout": "1s", "api_key": 7}
        )
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "baseURL",
        "maxParallel",
        "apikey",
        "apiKey",
    ]
    assert SECRET not in str(caught.value)


def test_an_option_given_in_both_spellings_is_refused(admin: Admin, desk: str) -> None:
    with pytest.raises(InvalidConfig, match="apiKey: is given twice"):
        admin.providers.config(desk).set_many({"apiKey": SECRET, "api_key": OTHER})


def test_a_required_option_stays(admin: Admin, desk: str) -> None:
    with pytest.raises(InvalidConfig, match="baseURL: is required"):
        admin.providers.config(desk).unset("baseURL")
    with pytest.raises(InvalidConfig, match="baseURL: is required"):
        admin.providers.config(desk).clear()
    assert admin.providers.config(desk).all() == {"baseURL": URL}


def test_clear_removes_everything_where_nothing_is_required(admin: Admin) -> None:
    admin.providers.add("nest", type="wren", config={"timeout": "30s", "open": True})
    assert admin.providers.config("nest").clear().touched == ("open", "timeout")
    assert admin.providers.config("nest").clear().touched == ()
    assert len(admin.providers.config("nest")) == 0


def test_what_is_not_set_cannot_be_unset(admin: Admin, desk: str) -> None:
    with pytest.raises(ConfigError, match="did you mean baseURL"):
        admin.providers.config(desk).unset("baseUrl2")


def test_options_of_a_provider_that_is_gone_say_so(admin: Admin, desk: str) -> None:
    config = admin.providers.config(desk)
    admin.providers.remove(desk)
    with pytest.raises(UnknownProvider):
        config.all()


def test_an_old_fault_does_not_keep_one_from_mending_the_rest(
    admin: Admin, desk: str, open_admin: Callable[..., Admin]
) -> None:
    class Newer(Provider):
        type = "pelican"

    admin.providers.config(desk).set("tags", ["a"])
    newer = open_admin(types=Plugins([Newer])).providers.config(desk)
    newer.set("timeout", "30s")
    with pytest.raises(InvalidConfig, match="tags: unknown option"):
        newer.set("tags", ["b"])
    newer.unset("tags")
    assert [record.key for record in newer.records()] == ["baseURL", "timeout"]


# Secrets


def test_a_secret_goes_to_the_keeper_and_its_reference_into_the_database(
    admin: Admin, desk: str, keeper: FileKeeper
) -> None:
    config = admin.providers.config(desk)
    config.set("apiKey", SECRET)
    (kept,) = keeper.ids()
    assert reference_of(admin) == f"secret:{kept}"
    assert keeper.get(kept).reveal() == SECRET
    assert keeper.owner(kept) == "desk/apiKey"
    assert config.get("apiKey") == "***"
    assert config.build_config().api_key.reveal() == SECRET


def test_a_secret_object_is_taken_too(admin: Admin, desk: str) -> None:
    admin.providers.config(desk).set_many({"apiKey": Secret(SECRET), "headers": {"X-Key": Secret(OTHER)}})
    built = admin.providers.config(desk).build_config()
    assert (built.api_key.reveal(), built.headers["X-Key"].reveal()) == (SECRET, OTHER)


def test_each_value_of_a_sensitive_mapping_is_a_secret_of_its_own(admin: Admin, desk: str, keeper: FileKeeper) -> None:
    config = admin.providers.config(desk)
    config.set("headers", {"X-Key": SECRET, "X-Env": "env:PELICAN"})
    (kept,) = keeper.ids()
    assert reference_of(admin, "headers") == {"X-Key": f"secret:{kept}", "X-Env": "env:PELICAN"}
    assert keeper.owner(kept) == "desk/headers.X-Key"
    assert config.all()["headers"] == {"X-Key": "***", "X-Env": "env:PELICAN"}


def test_a_mapping_that_is_set_again_keeps_what_is_masked_and_loses_what_is_left_out(
    admin: Admin, desk: str, keeper: FileKeeper
) -> None:
    config = admin.providers.config(desk)
    config.set("headers", {"A": SECRET, "B": OTHER})
    config.set("headers", {"A": "***", "C": "sk-third-value"})
    built = config.build_config().headers
    assert {name: value.reveal() for name, value in built.items()} == {"A": SECRET, "C": "sk-third-value"}
    assert len(keeper.ids()) == 2
    config.set("headers", {})
    assert keeper.ids() == ()


@pytest.mark.parametrize("mask", ["***", "***MASKED***"])
def test_a_mask_never_overwrites_a_secret(admin: Admin, desk: str, mask: str) -> None:
    config = admin.providers.config(desk)
    config.set("apiKey", SECRET)
    revision = admin.revision
    assert config.set_many({"apiKey": mask}).touched == ()
    assert admin.revision == revision
    assert config.build_config().api_key.reveal() == SECRET


def test_a_mask_of_what_is_not_there_is_refused(admin: Admin, desk: str) -> None:
    config = admin.providers.config(desk)
    with pytest.raises(InvalidConfig) as refused:
        config.set_many({"apiKey": "***", "headers": {"A": "***"}})
    assert ["apiKey", "headers.A"] == sorted(problem.partition(":")[0] for problem in refused.value.problems)
    assert "give the secret itself" in refused.value.problems[0]


def test_one_of_a_mapping_is_read_set_and_unset_alone(admin: Admin, desk: str, keeper: FileKeeper) -> None:
    config = admin.providers.config(desk)
    config.set_many({"headers.A": SECRET, "headers.B": "env:PELICAN"})
    assert ("***", "env:PELICAN", None) == tuple(config.get(f"headers.{name}") for name in "ABC")
    assert ("headers.A" in config, "headers.C" in config, "timeout.A" in config) == (True, False, False)
    config.set("headers.B", OTHER)
    config.unset("headers.A")
    assert {"B": OTHER} == {name: value.reveal() for name, value in config.build_config().headers.items()}
    assert 1 == len(keeper.ids())
    with pytest.raises(ConfigError, match=r"no option 'headers\.b' set: did you mean headers\.B"):
        config.unset("headers.b")
    config.unset("headers.B")
    assert "headers" not in config


def test_one_of_a_mapping_and_the_whole_of_it_are_joined(admin: Admin, desk: str) -> None:
    config = admin.providers.config(desk)
    config.set("headers.Old", SECRET)
    config.set_many({"headers": {"A": SECRET}, "headers.B": OTHER})
    assert {"A": "***", "B": "***"} == config.get("headers")


def test_a_mask_is_no_secret_for_a_new_provider(admin: Admin) -> None:
    with pytest.raises(InvalidConfig, match="token: is required"):
        admin.providers.add("pond", type="heron", config={"token": "***"})


def test_a_new_secret_puts_the_old_one_into_the_bin(admin: Admin, desk: str, keeper: FileKeeper) -> None:
    config = admin.providers.config(desk)
    config.set("apiKey", SECRET)
    (old,) = keeper.ids()
    config.set("apiKey", OTHER)
    (new,) = keeper.ids()
    assert new != old
    keeper.restore(old)
    assert keeper.get(old).reveal() == SECRET


def test_none_and_unset_remove_a_secret(admin: Admin, desk: str, keeper: FileKeeper) -> None:
    config = admin.providers.config(desk)
    config.set("apiKey", SECRET)
    config.set("apiKey", None)
    assert keeper.ids() == ()
    config.set("apiKey", SECRET)
    config.unset("api_key")
    assert keeper.ids() == ()


def test_the_secrets_of_a_removed_provider_go_to_the_bin(admin: Admin, desk: str, keeper: FileKeeper) -> None:
    admin.providers.config(desk).set_many({"apiKey": SECRET, "headers": {"X-Key": OTHER}})
    kept = keeper.ids()
    admin.providers.remove(desk)
    assert keeper.ids() == ()
    for one in kept:
        keeper.restore(one)


def test_a_secret_that_something_else_refers_to_stays(admin: Admin, desk: str, keeper: FileKeeper) -> None:
    config = admin.providers.config(desk)
    config.set("apiKey", SECRET)
    admin.providers.add("loft", type="pelican", config={"baseURL": URL, "apiKey": reference_of(admin)})
    admin.providers.remove(desk)
    assert len(keeper.ids()) == 1
    assert admin.providers.config("loft").build_config().api_key.reveal() == SECRET
    admin.providers.remove("loft")
    assert keeper.ids() == ()


def test_a_failed_add_leaves_neither_rows_nor_secrets(admin: Admin, desk: str, keeper: FileKeeper) -> None:
    admin.providers.edit(desk, name="Taken")
    with pytest.raises(ConfigError):
        admin.providers.add("loft", name="Taken", type="pelican", config={"baseURL": URL, "apiKey": SECRET})
    with pytest.raises(ZeroDivisionError), admin.atomic():
        admin.providers.add("loft", type="pelican", config={"baseURL": URL, "apiKey": SECRET})
        assert len(keeper.ids()) == 1
        raise ZeroDivisionError
    assert "loft" not in admin.providers
    assert keeper.ids() == ()


def test_what_an_inner_change_dropped_is_dropped_when_the_outer_one_is_kept(
    admin: Admin, desk: str, keeper: FileKeeper
) -> None:
    config = admin.providers.config(desk)
    config.set("apiKey", SECRET)
    with admin.atomic():
        config.set("apiKey", OTHER)
        assert len(keeper.ids()) == 2
    assert len(keeper.ids()) == 1
    with pytest.raises(ZeroDivisionError), admin.atomic():
        config.unset("apiKey")
        raise ZeroDivisionError
    assert config.build_config().api_key.reveal() == OTHER


def test_an_inner_change_that_fails_takes_only_its_own_secrets_along(
    admin: Admin, desk: str, keeper: FileKeeper
) -> None:
    with admin.atomic():
        admin.providers.config(desk).set("apiKey", SECRET)
        with pytest.raises(InvalidConfig):
            admin.providers.add("loft", type="pelican", config={"apiKey": OTHER})
    assert [keeper.get(one).reveal() for one in keeper.ids()] == [SECRET]


def test_a_damaged_keeper_stops_the_change_before_anything_is_written(
    admin: Admin, desk: str, prouter_home: Path
) -> None:
    prouter_home.mkdir()
    (prouter_home / "secrets.json").write_text("{")
    with pytest.raises(ConfigError, match="damaged"):
        admin.providers.config(desk).set("apiKey", SECRET)
    assert admin.revision == 1


def test_a_removal_stands_even_if_the_keeper_cannot_be_written(
    admin: Admin, desk: str, prouter_home: Path, caplog: pytest.LogCaptureFixture
) -> None:
    admin.providers.config(desk).set("apiKey", SECRET)
    (prouter_home / "secrets.json").write_text("{")
    admin.providers.remove(desk)
    assert desk not in admin.providers
    assert "stays with its keeper" in caplog.text


def test_no_secret_lies_in_the_database_its_log_the_changes_or_an_error(
    admin: Admin, desk: str, changes: Changes, path: Path
) -> None:
    config = admin.providers.config(desk)
    config.set_many({"apiKey": SECRET, "headers": {"X-Key": SECRET}})
    config.set("apiKey", OTHER)
    admin.credentials.set(SECRET, f"token={OTHER}")
    errors = []
    for given in ({"apiKey": SECRET, "timeout": 20}, {"apiKey": [SECRET]}, {"headers": SECRET}, {"headers": [OTHER]}):
        with pytest.raises(InvalidConfig) as caught:
            config.set_many(given)
        errors.append(f"{caught.value!r} {caught.value}")
    admin.providers.remove(desk)
    written = b"".join(file.read_bytes() for file in path.parent.iterdir())
    told = repr(changes()) + repr(errors) + repr(admin.credentials.list()) + repr(admin.providers.list())
    for secret in (SECRET, OTHER):
        assert secret.encode() not in written
        assert secret not in told


# References


def test_references_are_kept_as_they_are(admin: Admin, desk: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = admin.providers.config(desk)
    config.set("apiKey", "env:PELICAN")
    assert config.get("apiKey") == "env:PELICAN"
    with pytest.raises(MissingSecret, match="PELICAN"):
        config.build_config()
    monkeypatch.setenv("PELICAN", SECRET)
    assert config.build_config().api_key.reveal() == SECRET


def test_a_reference_that_names_nothing_is_refused(admin: Admin, desk: str) -> None:
    with pytest.raises(InvalidConfig, match=r"apiKey: env: names nothing"):
        admin.providers.config(desk).set("apiKey", "env:")


@pytest.mark.parametrize("reference", ["env:HOME", "file:/etc/passwd", "keyring:a/b", "cmd:id"])
def test_from_afar_no_reference_can_be_set(desk: str, open_admin: Callable[..., Admin], reference: str) -> None:
    far = open_admin(local=False)
    for given in ({"apiKey": reference}, {"headers": {"X-Key": reference}}):
        with pytest.raises(InvalidConfig, match="on this machine"):
            far.providers.config(desk).set_many(given)
    with pytest.raises(InvalidConfig, match="on this machine"):
        far.providers.add("loft", type="pelican", config={"baseURL": URL, "apiKey": reference})
    far.providers.config(desk).set("apiKey", SECRET)


def test_from_afar_another_providers_secret_cannot_be_taken(
    admin: Admin, desk: str, open_admin: Callable[..., Admin]
) -> None:
    admin.providers.config(desk).set("apiKey", SECRET)
    with pytest.raises(InvalidConfig, match="on this machine"):
        open_admin(local=False).providers.add(
            "loft", type="pelican", config={"baseURL": ELSEWHERE, "apiKey": reference_of(admin)}
        )


def test_from_afar_a_reference_that_is_there_may_be_written_back(
    admin: Admin, desk: str, open_admin: Callable[..., Admin]
) -> None:
    config = admin.providers.config(desk)
    config.set_many({"apiKey": "env:PELICAN", "headers": {"X-Key": "env:HEADER"}})
    far = open_admin(local=False).providers.config(desk)
    assert far.set_many({**far.all(), "timeout": "30s"}).touched == ("timeout",)
    with pytest.raises(InvalidConfig, match="secondKey"):
        far.set("secondKey", "env:PELICAN")


# The address


def test_a_new_address_drops_the_secrets_and_the_result_says_so(admin: Admin, desk: str, keeper: FileKeeper) -> None:
    config = admin.providers.config(desk)
    config.set_many({"apiKey": SECRET, "headers": {"X-Key": OTHER}, "secondKey": "env:PELICAN", "timeout": "30s"})
    edited = admin.providers.edit(desk, config={"baseURL": ELSEWHERE})
    assert sorted(edited.dropped_secrets) == ["apiKey", "headers.X-Key", "secondKey"]
    assert config.all() == {"baseURL": ELSEWHERE, "timeout": 30000}
    assert keeper.ids() == ()


@pytest.mark.parametrize(
    "url", ["http://192.168.0.22:1234/other", "http://192.168.0.22:1234", "HTTP://192.168.0.22:1234/v1/"]
)
def test_a_new_path_leaves_the_secrets(admin: Admin, desk: str, url: str) -> None:
    config = admin.providers.config(desk)
    config.set("apiKey", SECRET)
    assert config.set("base_url", url).dropped_secrets == ()
    assert "apiKey" in config


@pytest.mark.parametrize(
    "url", ["https://192.168.0.22:1234/v1", "http://192.168.0.22:1235/v1", "http://192.168.0.22/v1"]
)
def test_scheme_host_and_port_each_make_another_place(admin: Admin, desk: str, url: str) -> None:
    config = admin.providers.config(desk)
    config.set("apiKey", SECRET)
    assert config.set("baseURL", url).dropped_secrets == ("apiKey",)


def test_secrets_given_anew_with_the_address_stay(admin: Admin, desk: str) -> None:
    config = admin.providers.config(desk)
    config.set_many({"apiKey": SECRET, "headers": {"A": SECRET, "B": SECRET}})
    edited = config.set_many({"baseURL": ELSEWHERE, "apiKey": OTHER, "headers": {"A": OTHER, "B": "***"}})
    assert edited.dropped_secrets == ("headers.B",)
    built = config.build_config()
    assert (built.api_key.reveal(), built.headers["A"].reveal(), len(built.headers)) == (OTHER, OTHER, 1)


def test_a_mask_does_not_give_a_secret_anew(admin: Admin, desk: str, open_admin: Callable[..., Admin]) -> None:
    config = admin.providers.config(desk)
    config.set_many({"apiKey": SECRET, "secondKey": "env:PELICAN"})
    far = open_admin(local=False).providers.config(desk)
    edited = far.set_many({**far.all(), "baseURL": ELSEWHERE})
    assert edited.dropped_secrets == ("apiKey", "secondKey")
    assert far.all() == {"baseURL": ELSEWHERE}


def test_a_required_secret_has_to_be_given_anew_with_the_address(admin: Admin) -> None:
    admin.providers.add("pond", type="heron", config={"token": SECRET})
    with pytest.raises(InvalidConfig, match="token: has to be given anew"):
        admin.providers.edit("pond", config={"baseURL": ELSEWHERE})
    assert admin.providers.config("pond").build_config().token.reveal() == SECRET
    admin.providers.edit("pond", config={"baseURL": ELSEWHERE, "token": OTHER})
    with pytest.raises(InvalidConfig, match="token: has to be given anew"):  # back to the default is a move too
        admin.providers.config("pond").unset("baseURL")


def test_an_address_that_is_none_drops_nothing(admin: Admin, desk: str) -> None:
    admin.providers.config(desk).set("apiKey", SECRET)
    for address in ("http://[", 7):
        with pytest.raises(InvalidConfig, match="baseURL"):
            admin.providers.config(desk).set("baseURL", address)
    assert admin.providers.config(desk).build_config().api_key.reveal() == SECRET
