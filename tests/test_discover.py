from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import ClassVar

import anyio
import pytest

from provider_router.backends import MODELS, Backend, status
from provider_router.discover import Found, look_around, recognise
from provider_router.errors import InvalidConfig
from provider_router.providers.openai_compatible import OpenAICompatibleProvider
from provider_router.providers.plugins import Plugins
from provider_router.providers.provider import Provider


class Any(OpenAICompatibleProvider):
    type = "any"
    label = "Anything"
    generic = True

    @classmethod
    async def recognise(cls, base_url: str) -> Mapping[str, object] | None:
        with socket.socket() as probe:
            host, _, port = base_url.partition("://")[2].partition("/")[0].partition(":")
            if probe.connect_ex((host, int(port))):
                return None
        return {"baseURL": f"http://{host}:{port}/v1"}


class Shed(Any):
    type = "shed"
    label = "Shed"
    generic = False


class Stranger(Provider):
    type = "another"

    @classmethod
    async def recognise(cls, base_url: str) -> Mapping[str, object] | None:
        return None


class Faulty(Provider):
    type = "a-faulty-one"

    @classmethod
    async def recognise(cls, base_url: str) -> Mapping[str, object] | None:
        raise RuntimeError("this plugin has a fault")


class Picky(Provider):
    type = "picky"

    @classmethod
    async def recognise(cls, base_url: str) -> Mapping[str, object] | None:
        raise InvalidConfig("the options of picky are not valid:", ["baseURL: names no host"])


async def test_a_backend_is_recognised_with_its_models() -> None:
    with Backend(models=("a", "b")) as backend:
        found = await recognise(f" 127.0.0.1:{backend.port} ", Plugins([Faulty, Any, Stranger]))
    assert found is not None
    assert ("any", "Anything", backend.base_url) == (found.type, found.label, found.address)
    assert ["a", "b"] == [model.id for model in found.models]
    assert (None, False) == (found.error, found.wants_key)


async def test_a_type_for_one_program_goes_before_a_generic_one() -> None:
    with Backend() as backend:
        found = await recognise(backend.url, Plugins([Any, Shed]))
    assert found is not None
    assert "shed" == found.type


async def test_nothing_is_recognised_where_nothing_listens() -> None:
    assert await recognise("http://127.0.0.1:9", Plugins([Any, Stranger])) is None


async def test_what_is_no_address_is_refused_unless_a_type_knows_better() -> None:
    with pytest.raises(InvalidConfig):
        await recognise("http://127.0.0.1:9", Plugins([Any, Picky]))
    with Backend() as backend:
        assert await recognise(backend.url, Plugins([Any, Picky])) is not None


async def test_a_backend_that_wants_a_key_is_found_without_models() -> None:
    with Backend(api_key="k") as backend:
        found = await recognise(backend.url, Plugins([Any]))
    assert found is not None
    assert ((), True) == (found.models, found.wants_key)


async def test_a_backend_whose_list_fails_is_found_with_its_error() -> None:
    with Backend() as backend:
        backend.script(status(500), path=MODELS)
        found = await recognise(backend.url, Plugins([Any]))
    assert found is not None
    assert ("500" in str(found.error), found.wants_key) == (True, False)


async def test_options_that_make_no_provider_are_told() -> None:
    class Odd(Any):
        type = "odd"

        @classmethod
        async def recognise(cls, base_url: str) -> Mapping[str, object] | None:
            return {"baseURL": "nowhere"}

    found = await recognise("desk:1", Plugins([Odd]))
    assert found is not None
    assert isinstance(found.error, InvalidConfig)


async def test_the_usual_addresses_are_asked_once_each_and_on_this_machine_only() -> None:
    with Backend(models=("a",)) as one, Backend(models=("b",)) as two:

        class Here(Any):
            type = "here"
            default_urls: ClassVar[tuple[str, ...]] = (two.base_url, one.base_url, two.base_url)

        class There(Shed):
            default_urls: ClassVar[tuple[str, ...]] = ("http://192.0.2.1:80/v1", "http://127.0.0.1:9/v1")

        found = await look_around(Plugins([Here, There]))
    assert [two.base_url, one.base_url] == [backend.address for backend in found]
    assert {"shed"} == {backend.type for backend in found}


@pytest.mark.parametrize(
    ("address", "taken", "id"),
    [
        ("http://localhost:1234/v1", (), "shed"),
        ("http://127.0.0.1:1234/v1", ("shed",), "shed-2"),
        ("http://127.0.0.1:1234/v1", ("shed", "shed-2"), "shed-3"),
        ("http://192.168.0.22:1234/v1", (), "shed-192.168.0.22"),
        ("https://API.Example.com/v1", (), "shed-api.example.com"),
        ("http://[fe80::1]:80/v1", (), "shed-fe80-1"),
        ("", (), "shed"),
    ],
)
def test_an_id_is_suggested_that_is_free(address: str, taken: tuple[str, ...], id: str) -> None:
    found = Found(type="shed", label="Shed", config={"baseURL": address} if address else {})
    assert id == found.suggested_id(taken)


async def test_a_type_that_never_comes_to_an_end_is_given_up() -> None:
    class Endless(Provider):
        type = "endless"

        @classmethod
        async def recognise(cls, base_url: str) -> Mapping[str, object] | None:
            await anyio.sleep_forever()
            raise AssertionError

    with Backend() as backend:
        found = await recognise(backend.url, Plugins([Endless, Any]), longest=0.2)
    assert found is not None
    assert "any" == found.type
