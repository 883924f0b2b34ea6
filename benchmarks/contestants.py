"""Who is compared, each as its own documentation says; a peer is imported only where it runs."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from importlib import import_module
from typing import Any
from urllib.parse import urlsplit

from benchmarks.upstream import BODY, STREAMED


class Contestant:
    """One client of one backend.

    Args:
        base_url: of the backend.
        authority: file with the certificate to trust, for https.
    """

    def __init__(self, base_url: str, authority: str | None) -> None:
        self.base_url = base_url
        self.url = f"{base_url}/chat/completions"
        self.tls = ssl.create_default_context(cafile=authority) if authority else None

    async def chat(self) -> str:
        """The text of one whole answer."""
        raise NotImplementedError

    async def stream(self, seen: Callable[[], None]) -> None:
        """One stream; `seen` hears of each chunk with a text."""
        raise NotImplementedError

    async def close(self) -> None:
        """Let go of the connections."""


class Ours(Contestant):
    def __init__(self, base_url: str, authority: str | None) -> None:
        super().__init__(base_url, authority)
        compatible = import_module("provider_router_openai_compatible").OpenAICompatible
        self.router = import_module("provider_router").AsyncRouter(providers=[compatible("one", base_url=base_url)])

    async def chat(self) -> str:
        return str((await self.router.chat(BODY)).text)

    async def stream(self, seen: Callable[[], None]) -> None:
        async with self.router.stream(BODY) as stream:
            async for chunk in stream:
                if chunk.text:
                    seen()

    async def close(self) -> None:
        await self.router.aclose()


class Httpx(Contestant):
    library = "httpx"

    def __init__(self, base_url: str, authority: str | None) -> None:
        super().__init__(base_url, authority)
        httpx = import_module(self.library)
        self.client = httpx.AsyncClient(
            verify=self.tls or True, limits=httpx.Limits(max_connections=None), timeout=60.0
        )

    async def chat(self) -> str:
        answer = (await self.client.post(self.url, json=BODY)).json()
        return str(answer["choices"][0]["message"]["content"])

    async def stream(self, seen: Callable[[], None]) -> None:
        async with self.client.stream("POST", self.url, json=STREAMED) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                    seen()

    async def close(self) -> None:
        await self.client.aclose()


class Httpx2(Httpx):
    library = "httpx2"


class Aiohttp(Contestant):
    session: Any = None

    def opened(self) -> Any:
        if self.session is None:
            aiohttp = import_module("aiohttp")
            self.session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=self.tls or True))
        return self.session

    async def chat(self) -> str:
        async with self.opened().post(self.url, json=BODY) as response:
            answer = await response.json()
        return str(answer["choices"][0]["message"]["content"])

    async def stream(self, seen: Callable[[], None]) -> None:
        async with self.opened().post(self.url, json=STREAMED) as response:
            async for line in response.content:
                if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                    seen()

    async def close(self) -> None:
        if self.session is not None:
            await self.session.close()


class OpenAI(Contestant):
    def __init__(self, base_url: str, authority: str | None) -> None:
        super().__init__(base_url, authority)
        openai = import_module("openai")
        client = openai.DefaultAsyncHttpxClient(verify=self.tls) if self.tls else None
        self.client = openai.AsyncOpenAI(base_url=base_url, api_key="none", http_client=client)

    async def chat(self) -> str:
        return str((await self.client.chat.completions.create(**BODY)).choices[0].message.content)

    async def stream(self, seen: Callable[[], None]) -> None:
        async with await self.client.chat.completions.create(**STREAMED) as stream:
            async for chunk in stream:
                if chunk.choices[0].delta.content:
                    seen()

    async def close(self) -> None:
        await self.client.close()


class LiteLLM(Contestant):
    def __init__(self, base_url: str, authority: str | None) -> None:
        super().__init__(base_url, authority)
        litellm: Any = import_module("litellm")
        if authority:
            litellm.ssl_verify = authority
        served = {"model": f"openai/{BODY['model']}", "api_base": base_url, "api_key": "none"}
        self.router = litellm.Router(model_list=[{"model_name": BODY["model"], "litellm_params": served}])

    async def chat(self) -> str:
        return str((await self.router.acompletion(**BODY)).choices[0].message.content)

    async def stream(self, seen: Callable[[], None]) -> None:
        async for chunk in await self.router.acompletion(**STREAMED):
            if chunk.choices[0].delta.content:
                seen()


class Socket(Contestant):
    """The floor: a socket, a head made once, and no more of HTTP than this backend needs. One caller."""

    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def asked(self, body: dict[str, Any]) -> asyncio.StreamReader:
        if self.streams is None:
            place = urlsplit(self.base_url)
            self.streams = await asyncio.open_connection(place.hostname, place.port)
        data = json.dumps(body).encode()
        path = urlsplit(self.url).path
        head = (
            f"POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: {len(data)}\r\n\r\n"
        )
        self.streams[1].write(head.encode() + data)
        return self.streams[0]

    async def chat(self) -> str:
        reader = await self.asked(BODY)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        return str(json.loads(await reader.readexactly(length))["choices"][0]["message"]["content"])

    async def stream(self, seen: Callable[[], None]) -> None:
        reader = await self.asked(STREAMED)
        while (line := await reader.readuntil(b"\n")) != b"0\r\n":
            if line.startswith(b"data: {") and json.loads(line[6:])["choices"][0]["delta"].get("content"):
                seen()
        await reader.readuntil(b"\n")

    async def close(self) -> None:
        if self.streams is not None:
            self.streams[1].close()


CONTESTANTS: dict[str, type[Contestant]] = {
    "AsyncRouter": Ours,
    "httpx": Httpx,
    "httpx2": Httpx2,
    "aiohttp": Aiohttp,
    "OpenAI SDK": OpenAI,
    "LiteLLM Router": LiteLLM,
    "a socket": Socket,
}
