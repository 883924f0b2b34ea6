"""An agent's loop of three tool rounds, streaming, through a proxy that keeps chats as the original one did."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from hashlib import md5
from typing import Any

import pytest

from provider_router import AsyncRouter
from provider_router.backends import CHAT, Reply, Request, Step, answers, calls
from provider_router.dialects.openai_chat import assemble
from provider_router.plugin import ChatResponse
from provider_router.testing import QwenProxyFake
from provider_router_qwen_proxy import QwenProxy

PAGE = '<html>\n<b>"x" &amp; y</b>\n</html>'
STEPS = (
    ("", "I will <i>look</i>.\n<read_file>\n<path>src/a.py</path>\n<limit>20</limit>\n</read_file>"),
    ("result-one", "<read_file>\n<path>src/b.py</path>\n</read_file>"),
    ("result-two", f"Now I write.\n<write_file>\n<path>a.html</path>\n<content>{PAGE}</content>\n</write_file>"),
    ("result-three", "Done."),
)
RESULTS = ("result-one", "result-two", "result-three")


def tool(name: str, **kinds: str) -> dict[str, Any]:
    properties = {parameter: {"type": kind} for parameter, kind in kinds.items()}
    schema = {"type": "object", "properties": properties, "required": list(kinds)[:1]}
    return {"type": "function", "function": {"name": name, "description": "", "parameters": schema}}


TOOLS = [tool("read_file", path="string", limit="integer"), tool("write_file", path="string", content="string")]


def model(chat: str) -> str:
    """What the model says: it knows the tools that it was told, and goes on from the last result that it has seen."""
    if "read_file" not in chat:
        return "I have no tools."
    return next(says for seen, says in reversed(STEPS) if seen in chat)


class Keeping(QwenProxyFake):
    """A proxy that keeps each chat, and knows it by its first words.

    Of a request it reads the system message and the last one, in a new chat, or the last one alone, in the chat that
    began with the same words. It tells tools in the first turn only, and takes the first element of an answer for a
    call, in a request that declares tools; its parser is the original's.
    """

    def __init__(self) -> None:
        super().__init__()
        self.chats: dict[str, list[str]] = {}

    def site(self) -> dict[tuple[str, str], Reply]:
        return {**super().site(), ("POST", CHAT): self._chat}

    def _chat(self, request: Request) -> Iterator[Step]:
        messages = request.json["messages"]
        tools = request.json.get("tools")
        first = next(text(message) for message in messages if message["role"] == "user")
        spoken = [text(message) for message in messages if message["role"] == "assistant"]
        chat = self.chats.get(key(first, spoken[0])) if spoken else None
        if chat is None:
            chat = [text(message) for message in messages if message["role"] == "system"]
            chat += [f"TOOL USE {json.dumps(tools)}"] if tools else []
        chat.append(text(messages[-1]))
        says = model("\n".join(chat))
        chat.append(says)
        found = re.search(r"<([A-Za-z_]\w*)>(.*?)</\1>\s*\Z", says, re.DOTALL) if tools else None
        before = says[: found.start()].rstrip() if found else says
        self.chats[key(first, spoken[0] if spoken else before)] = chat
        if found is None:
            yield from answers(says)(request)
            return
        values = {
            name: int(value) if value.isdecimal() else value.strip("\n")
            for name, value in re.findall(r"<([A-Za-z_]\w*)>(.*?)</\1>", found[2], re.DOTALL)
        }
        yield from calls(found[1], values, text=before)(request)


def key(first: str, answered: str) -> str:
    return md5(first.strip().encode() + answered.encode(), usedforsecurity=False).hexdigest()


def text(message: Any) -> str:
    return message.get("content") or ""


@pytest.fixture
def keeping() -> Iterator[Keeping]:
    with Keeping() as keeping:
        yield keeping


@pytest.fixture(params=["native", "xml"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def run(router: AsyncRouter, question: str) -> tuple[list[Any], list[str]]:
    """The loop: every answer's calls in order, and the texts."""
    messages: list[Any] = [{"role": "user", "content": question}]
    called: list[Any] = []
    texts: list[str] = []
    left = list(RESULTS)
    while True:
        answer = await turn(router, messages)
        texts.append(answer.text)
        if answer.finish_reason != "tool_calls":
            return called, texts
        for call in answer.tool_calls:
            called.append((call.name, call.parse()))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": left.pop(0)})


async def turn(router: AsyncRouter, messages: list[Any]) -> ChatResponse:
    """One answer, which becomes part of the conversation."""
    async with router.stream(messages, model="qwen3-max", tools=TOOLS) as stream:
        answer = assemble([chunk async for chunk in stream])
    messages.append(answer.message)
    return answer


async def test_three_rounds_of_tools_come_to_their_end(mode: str, keeping: Keeping) -> None:
    async with AsyncRouter(providers=[QwenProxy("desk", base_url=keeping.url, tool_mode=mode)]) as router:
        called, texts = await run(router, "Make a page.")
    assert [
        ("read_file", {"path": "src/a.py", "limit": 20}),
        ("read_file", {"path": "src/b.py"}),
        ("write_file", {"path": "a.html", "content": PAGE}),
    ] == called
    assert ["I will <i>look</i>.", "", "Now I write.", "Done."] == texts
    assert 4 == len(keeping.requests)


@pytest.mark.parametrize(("mode", "mixed"), [("xml", False), ("native", True)])
async def test_two_users_with_the_same_words_share_a_chat_only_where_the_proxy_keeps_it(
    mode: str, mixed: bool, keeping: Keeping
) -> None:
    users: dict[str, list[Any]] = {name: [{"role": "user", "content": "Make a page."}] for name in ("Ann", "Bob")}
    async with AsyncRouter(providers=[QwenProxy("desk", base_url=keeping.url, tool_mode=mode)]) as router:
        for messages in users.values():
            await turn(router, messages)
        for name, messages in users.items():
            (call,) = messages[-1]["tool_calls"]
            messages.append({"role": "tool", "tool_call_id": call["id"], "content": f"result-one, a secret of {name}"})
            await turn(router, messages)
    chats = ["\n".join(said) for said in keeping.chats.values()]
    assert mixed == any("Ann" in chat and "Bob" in chat for chat in chats)


async def test_several_calls_of_one_message_all_come_and_html_stays_text(keeping: Keeping) -> None:
    both = f"<b>Two</b>:\n{STEPS[1][1]}\nand\n{STEPS[1][1]}\n<p>see</p>"
    keeping.script(answers(both))
    async with AsyncRouter(providers=[QwenProxy("desk", base_url=keeping.url, tool_mode="xml")]) as router:
        answer = await router.chat("Look.", tools=TOOLS)
    assert ["read_file", "read_file"] == [call.name for call in answer.tool_calls]
    assert "<b>Two</b>:\nand\n<p>see</p>" == answer.text
