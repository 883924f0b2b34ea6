"""A fast backend in a process of its own, so that its work is in nobody's figures: `python -m benchmarks.upstream`.

It answers every POST with one answer of about 1 KB, or with a stream where the body asks for one, on connections that
stay open. Below `/after-200ms/v1` it waits before it answers, below `/every-20ms/v1` a stream has a chunk each so
often, and below `/fails/v1` it answers 500. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import ssl
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

TEXT = " ".join(["A pelican stands on the quay, as large as a small child, and watches the boats."] * 9)
CHUNKS = 200
PACED_CHUNKS = 25
BODY: dict[str, Any] = {
    "model": "small-model",
    "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a pelican."}],
    "temperature": 0.2,
}
STREAMED = BODY | {"stream": True}
_END = b"\r\n\r\n"
_AFTER = re.compile(rb"POST /after-(\d+)ms/")
_EVERY = re.compile(rb"POST /every-(\d+)ms/")


def _answer() -> bytes:
    message = {"role": "assistant", "content": TEXT, "refusal": None}
    body = json.dumps(
        {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": 1_760_000_000,
            "model": "small-model",
            "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 40, "completion_tokens": 180, "total_tokens": 220},
        }
    ).encode()
    return b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d%s%s" % (len(body), _END, body)


def _stream(chunks: int) -> list[bytes]:
    events = []
    for number in range(chunks + 2):
        delta = (
            {"content": f" {number} pelicans"} if 0 < number <= chunks else {"role": "assistant"} if number == 0 else {}
        )
        choice = {"index": 0, "delta": delta, "finish_reason": None if number <= chunks else "stop"}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "small-model"}
        events.append(json.dumps(chunk | {"choices": [choice]}))
    pieces = [f"data: {event}\n\n".encode() for event in [*events, "[DONE]"]]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked" + _END
    return [head, *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), b"0" + _END]


ANSWER = _answer()
STREAM = _stream(CHUNKS)
PACED = _stream(PACED_CHUNKS)
FAILURE = b"HTTP/1.1 500 Internal Server Error\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"


class Backend(asyncio.Protocol):
    """One connection. Requests may come in any pieces, but one after the other."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.received = b""

    def data_received(self, data: bytes) -> None:
        self.received += data
        head, end, body = self.received.partition(_END)
        if not end:
            return
        _, _, length = head.lower().partition(b"content-length:")
        if len(body) < int(length.partition(b"\r\n")[0] or 0):
            return
        self.received = b""
        if head.startswith(b"POST /fails/"):
            self.transport.write(FAILURE)
        elif b'"stream":true' in body.replace(b" ", b""):
            every = _EVERY.match(head)
            self.go_on(iter(PACED if every else STREAM), int(every[1]) / 1000 if every else 0.0)
        elif after := _AFTER.match(head):
            asyncio.get_running_loop().call_later(int(after[1]) / 1000, self.transport.write, ANSWER)
        else:
            self.transport.write(ANSWER)

    def go_on(self, pieces: Iterator[bytes], every: float) -> None:
        """One event in one write, and then the others' turn: as a model does that is very fast, or a slower one."""
        piece = next(pieces, None)
        if piece is not None and not self.transport.is_closing():
            self.transport.write(piece)
            asyncio.get_running_loop().call_later(every, self.go_on, pieces, every)


async def serve(certificate: str | None = None) -> None:
    loop = asyncio.get_running_loop()
    context = None
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
    server = await loop.create_server(Backend, "127.0.0.1", 0, backlog=1024, ssl=context)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


def many_files() -> None:
    """Let this process hold a thousand connections, where the system has a bound."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@contextlib.contextmanager
def upstream(certificate: str | None = None) -> Iterator[str]:
    """Run the backend, over TLS where a file holds a certificate and its key; `http://127.0.0.1:49152/v1`."""
    command = [sys.executable, "-m", "benchmarks.upstream", *([certificate] if certificate else [])]
    scheme = "https" if certificate else "http"
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"{scheme}://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.stdin.close()


if __name__ == "__main__":
    many_files()
    asyncio.run(serve(*sys.argv[1:]))
