"""The example is a provider type like any other. Its backend is forty lines of the standard library."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from provider_router_parrot import Parrot, register_providers

from provider_router import AsyncRouter, ProviderError
from provider_router.plugin import Failure


class Cage(BaseHTTPRequestHandler):
    """A parrot over HTTP."""

    def do_GET(self) -> None:
        self.answer(200, {"mood": "chatty"})

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(asked)  # type: ignore[attr-defined]
        match asked["line"], self.path:
            case "sleep", _:
                self.answer(503, {"error": "The parrot sleeps."})
            case "hum", _:
                self.answer(200, {"hum": True})
            case "cough", _:
                self.answer(200, text='{"word": "Pretty')
            case line, "/say":
                self.answer(200, {"reply": line, "words": len(line.split())})
            case line, _:
                self.answer(200, *({"word": f"{word} "} for word in line.split()), {"end": True})

    def answer(self, status: int, *lines: object, text: str = "") -> None:
        body = (text or "\n".join(json.dumps(line) for line in lines)).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def cage() -> Iterator[ThreadingHTTPServer]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Cage) as server:
        server.asked = []  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def parrot(cage: ThreadingHTTPServer) -> Parrot:
    return Parrot("polly", base_url=f"http://127.0.0.1:{cage.server_port}", voice="loud")


async def test_it_answers_plainly_and_in_a_stream(parrot: Parrot, cage: ThreadingHTTPServer) -> None:
    async with AsyncRouter(providers=[parrot]) as router:
        answer = await router.chat("Pretty bird", extra_body={"pitch": 3})
        async with router.stream("Pretty bird") as stream:
            text = "".join([chunk.text async for chunk in stream])
    assert ("Pretty bird", "polly", "parrot") == (answer.text, answer.provider, answer.model)
    assert "Pretty bird " == text
    assert {"line": "Pretty bird", "voice": "loud", "pitch": 3} == cage.asked[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("line", "failure"), [("sleep", Failure.SERVER), ("hum", Failure.MALFORMED), ("cough", Failure.MALFORMED)]
)
async def test_its_errors_have_their_class(line: str, failure: Failure, parrot: Parrot) -> None:
    async with AsyncRouter(providers=[parrot]) as router:
        with pytest.raises(ProviderError) as plain:
            await router.chat(line, max_attempts=1)
        with pytest.raises(ProviderError) as streamed:
            async with router.stream(line, max_attempts=1):
                pass
    assert (failure, failure) == (plain.value.failure, streamed.value.failure)


async def test_its_check_says_its_mood(parrot: Parrot) -> None:
    async with AsyncRouter(providers=[parrot]) as router:
        assert "chatty" in str(await router.check("polly"))


def test_the_plugin_registers_its_type() -> None:
    assert [Parrot] == register_providers()
