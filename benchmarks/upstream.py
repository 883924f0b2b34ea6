"""A fast backend in a process of its own, so that its work is in nobody's figures: `python -m benchmarks.upstream`.

It answers every POST with one answer of about 1 KB, or with a stream where the body asks for one, on connections that
stay open. It ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator

TEXT = " ".join(["A pelican stands on the quay, as large as a small child, and watches the boats."] * 9)
CHUNKS = 200
_END = b"\r\n\r\n"


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


def _stream() -> list[bytes]:
    events = []
    for number in range(CHUNKS + 2):
        delta = {"content": " pelican"} if 0 < number <= CHUNKS else {"role": "assistant"} if number == 0 else {}
        choice = {"index": 0, "delta": delta, "finish_reason": None if number <= CHUNKS else "stop"}
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "small-model"}
        events.append(json.dumps(chunk | {"choices": [choice]}))
    pieces = [f"data: {event}\n\n".encode() for event in [*events, "[DONE]"]]
    head = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked" + _END
    return [head, *(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces), b"0" + _END]


ANSWER = _answer()
STREAM = _stream()


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
        if b'"stream":true' in body.replace(b" ", b""):
            self.go_on(iter(STREAM))
        else:
            self.transport.write(ANSWER)

    def go_on(self, pieces: Iterator[bytes]) -> None:
        """One event in one write, and then the others' turn: as a model does that is very fast."""
        piece = next(pieces, None)
        if piece is not None and not self.transport.is_closing():
            self.transport.write(piece)
            asyncio.get_running_loop().call_soon(self.go_on, pieces)


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Backend, "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


@contextlib.contextmanager
def upstream() -> Iterator[str]:
    """Run the backend; its base URL, such as `http://127.0.0.1:49152/v1`."""
    command = [sys.executable, "-m", "benchmarks.upstream"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/v1"
        finally:
            process.stdin.close()


if __name__ == "__main__":
    asyncio.run(serve())
