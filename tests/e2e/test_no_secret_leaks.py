"""A canary as a secret, through all that is shown, raised, logged or kept: it lies in secrets.json, nowhere else."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import traceback
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote, quote_plus

import pytest
from click.testing import CliRunner

from provider_router import Admin, AsyncRouter, ProviderRouterError, Router, home
from provider_router.backends import DONE, Answer, Backend, Reply, Request, Step, answers, event, says, status, streams
from provider_router.backends.wire import encode, response
from provider_router.cli import program
from provider_router.providers.plugins import Plugins
from provider_router.store.backup import backup

pytestmark = pytest.mark.e2e

# With characters that look different in JSON, in a URL and in base64.
KEY = 'sk-c4nary5d1c0ffee+/="%q\\5d1c0ffee'
TOKEN = "Token /+t0k3n9e8d7c6b5a;0f"
SECRETS = (KEY, TOKEN, TOKEN.split()[1])
# What stays as it is in every form but base64.
PIECES = ("c4nary5d1c0ffee", "5d1c0ffee", "t0k3n9e8d7c6b5a")


def forms(secret: str) -> dict[str, str]:
    """What a backend may make of a secret that it repeats."""
    return {
        "as it is": secret,
        "in JSON": json.dumps(secret)[1:-1],
        "twice in JSON": json.dumps(json.dumps(secret)[1:-1])[1:-1],
        "in JSON of JavaScript": json.dumps(secret)[1:-1].replace("/", "\\/"),
        "in a URL": quote(secret, safe=""),
        "in a path": quote(secret),
        "in a form": quote_plus(secret),
        "in HTML": escape(secret),
        "in base64": base64.b64encode(secret.encode()).decode(),
        "in base64 for URLs": base64.urlsafe_b64encode(secret.encode()).decode(),
        "as a password in base64": base64.b64encode(f"user:{secret}".encode()).decode(),
    }


BASE64 = [form.strip("=") for secret in SECRETS for name, form in forms(secret).items() if "base64" in name]


def leaks(text: str) -> list[str]:
    """The places in the text where something of the secrets is."""
    return [text[max(at - 40, 0) : at + 80] for part in (*PIECES, *BASE64) if (at := text.find(part)) >= 0]


def echo(request: Request) -> str:
    """The secrets as they came over the wire, in every form, in one sentence."""
    key = request.headers["authorization"].removeprefix("Bearer ")
    token = request.headers["x-token"]
    assert (key, token) == (KEY, TOKEN)
    said = "; ".join(f"{name}: {form}" for secret in (key, token) for name, form in forms(secret).items())
    return f"Incorrect API key provided: {said}."


def in_stream(data: object, *, text: str = "") -> Reply:
    """A stream that says a text, and then an error."""

    def pieces(request: Request) -> Iterator[Step]:
        if text:
            yield event(Answer().chunk(request, {"role": "assistant", "content": text}))
        yield event(json.loads(json.dumps(data).replace('"ECHO"', json.dumps(echo(request)))))
        yield DONE

    return streams(pieces, plain=lambda request: says({"error": {"message": echo(request)}})(request))


def html(request: Request) -> Iterator[Step]:
    yield response(f"<html><title>{echo(request)}</title></html>".encode(), status=502, content_type="text/html")


def echoed_in_head(request: Request) -> Iterator[Step]:
    yield response(encode({"error": echo(request)}), status=500, headers={"x-debug": KEY, "location": f"/?key={KEY}"})


def redirected(request: Request) -> Iterator[Step]:
    yield response(b"", status=302, headers={"location": f"/v1/?key={KEY}"})


def cut_short(request: Request) -> Iterator[Step]:
    """However a long text is shortened, some copy of the key is in the place where it is cut."""
    said = " " * 7 + f"{KEY} " * 60
    yield from status(500, said)(request)


FAILURES: dict[str, Reply] = {
    "401, object": lambda request: status(401, echo(request), code="invalid_api_key")(request),
    "401, code": lambda request: status(401, "Wrong.", code=echo(request), kind=echo(request), param=KEY)(request),
    "400, text": lambda request: status(400, echo(request), form="string")(request),
    "422, detail": lambda request: status(422, echo(request), form="detail")(request),
    "404, model": lambda request: status(404, echo(request), code="model_not_found")(request),
    "429": lambda request: status(429, echo(request), retry_after=60)(request),
    "502, HTML": html,
    "500, head": echoed_in_head,
    "302": redirected,
    "500, long": cut_short,
    "200, error": lambda request: says({"error": echo(request)})(request),
    "200, no JSON": lambda request: says(echo(request).encode(), content_type="text/plain")(request),
    "stream, error first": in_stream({"error": {"message": "ECHO", "code": "ECHO"}}),
    "stream, text error": in_stream({"error": "ECHO"}),
    "stream, error after text": in_stream({"error": {"message": "ECHO"}}, text="Half an "),
}


@pytest.fixture
def configured(prouter_home: Path) -> Iterator[tuple[Backend, Path]]:
    """A backend that wants the secrets, and a store in which they were given by Python."""
    with Backend(answers("Fine."), api_key=KEY) as backend, Admin() as admin:
        config = {"baseURL": backend.base_url, "apiKey": KEY, "headers": {"x-token": TOKEN}}
        admin.providers.add("desk", type="openai-compatible", config=config)
        admin.settings.set("routing.maxAttempts", 1)  # what is told counts here, not how often
        yield backend, admin.path


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "provider_router")
    yield caplog
    # httpcore at DEBUG is a trace of the wire, with the heads that a backend sends.
    records = [record for record in caplog.records if not record.name.startswith("httpcore")]
    said = [logging.Formatter("%(message)s").format(record) for record in records]
    assert leaks("\n".join(said)) == []


def told_by(error: BaseException) -> str:
    """Everything that an exception shows to whoever prints or walks it, its causes included."""
    parts: list[str] = []
    seen: BaseException | None = error
    while seen is not None:
        parts += [str(seen), repr(seen), repr(seen.args), repr(vars(seen)), repr(getattr(seen, "__notes__", ()))]
        seen = seen.__cause__ or seen.__context__
    return "\n".join([*parts, *traceback.format_exception(error)])


def run(*arguments: str, input: str | None = None) -> str:
    """All that a command of the CLI says."""
    result = CliRunner().invoke(program.prouter, list(arguments), input=input)
    assert result.exit_code in (0, 1), result.output
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.output


def test_what_is_kept_is_in_secrets_json_and_nowhere_else(configured: tuple[Backend, Path], tmp_path: Path) -> None:
    backend, database = configured
    options = ["--type", "openai-compatible", "--config", f"baseURL={backend.base_url}"]
    run("provider", "add", "--id", "loft", *options, "--stdin", "apiKey", input=KEY + "\n")
    run("provider", "add", "--id", "attic", *options, "--config", f"apiKey={KEY}", "--no-check")
    run("provider", "edit", "attic", "--config", f"apiKey={KEY}2", "--no-check")
    run("provider", "remove", "attic", "--yes")
    backup(database, database.with_name("copy.db"))
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path for path, content in written.items() if leaks(content.decode("latin-1"))} == {home.secrets_path()}
    assert database.with_name("copy.db") in written
    assert any(path.name.endswith("-wal") for path in written)


def test_no_command_shows_a_secret(configured: tuple[Backend, Path], log: pytest.LogCaptureFixture) -> None:
    commands: Sequence[Sequence[str]] = [
        ["provider", "list"],
        ["provider", "show", "desk"],
        ["provider", "edit", "desk", "--priority", "3", "--config", f"apiKey={KEY}"],
        ["provider", "test", "desk"],
        ["status"],
        ["plan"],
        ["types"],
        ["settings", "list"],
        ["-v", "chat", "--no-stream", "hi"],
    ]
    for command in commands:
        for form in ([], ["--json"]):
            assert leaks(run(*command, *form)) == [], command


@pytest.mark.parametrize("failure", FAILURES)
def test_a_backend_that_repeats_the_secret_does_not_spread_it(
    failure: str, configured: tuple[Backend, Path], log: pytest.LogCaptureFixture
) -> None:
    backend, _ = configured
    backend.script(FAILURES[failure])
    backend.script(FAILURES[failure], path="/v1/models")
    told = [run("-v", "chat", way, "hi", "--timeout", "3s") for way in ("--stream", "--no-stream")]
    told += [
        run("chat", "--no-stream", "--json", "hi", "--timeout", "3s"),
        run("status", "--json"),
        run("test", "desk"),
    ]
    with Router() as router:
        with pytest.raises(ProviderRouterError) as caught:
            router.chat("hi", timeout=3.0)
        told.append(told_by(caught.value))
        with pytest.raises(ProviderRouterError) as caught, router.stream("hi", timeout=3.0, provider="desk") as stream:
            for _ in stream:
                pass
        told += [told_by(caught.value), *map(repr, (router.check("desk"), router.health(), router.plan()))]
    assert len(backend.requests) >= 3
    assert leaks("\n".join(told)) == []


async def test_nothing_that_is_held_shows_it_either(configured: tuple[Backend, Path]) -> None:
    _, database = configured
    with Admin(database) as admin:
        held = [admin.providers.get("desk"), admin.providers.config("desk").all(), admin]
        told = [*map(repr, held), *map(str, held)]
    async with AsyncRouter(database) as router:
        answer = await router.chat("hi")
        live = router.registry.take("desk")
        held = [router, router.registry, live, live.provider, live.provider.config, vars(live.provider.config), answer]
        told += map(repr, held)
        await router.registry.give_back(live)
    assert leaks("\n".join(told)) == []


def test_a_mistake_in_the_options_is_told_without_their_values(prouter_home: Path) -> None:
    options = ["--id", "desk", "--type", "openai-compatible", "--no-check"]
    told = [
        run("provider", "add", *options, "--config", f"apiKye={KEY}", "--config", "baseURL=http://localhost:1/v1"),
        run("provider", "add", *options, "--config", f"apiKey={KEY}", "--config", "baseURL=nonsense"),
        run("provider", "add", *options, "--config", f"apiKey={KEY}", "--config", "timeout=20"),
    ]
    kind = Plugins.load().types["openai-compatible"]
    for wrong in ({"apiKey": [KEY]}, {"headers": KEY}, {"apiKey": KEY, "baseURL": 7}):
        with pytest.raises(ProviderRouterError) as caught:
            kind("desk", wrong)
        told.append(told_by(caught.value))
    assert leaks("\n".join(told)) == []
    with contextlib.suppress(FileNotFoundError):
        assert leaks(home.secrets_path().read_text()) == []
