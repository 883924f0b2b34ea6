"""XMLTools: the tools that a request offers, as XML in its prompt and out of its answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any, Literal

from attrs import frozen

from provider_router.chat import ChatRequest, ChatResponse
from provider_router.dialects.xml_tools.parser import XMLToolParser
from provider_router.dialects.xml_tools.prompt import tools_section
from provider_router.dialects.xml_tools.reader import XMLToolReader
from provider_router.dialects.xml_tools.schema import Schema
from provider_router.dialects.xml_tools.tool import NAME, XMLTool
from provider_router.dialects.xml_tools.transcript import spoken, with_section
from provider_router.errors import NotCapable, ProviderError, RequestRejected

Choice = Literal["auto", "none", "required"]


@frozen(kw_only=True)
class XMLTools:
    """What a request says of tools.

    Attributes:
        declared: every declared tool by name: how earlier calls are written.
        offered: those that may be called now; none for `tool_choice: none`.
        required: one has to be called.
        parallel: several may be called in one message.
        seed: tells this request from others.
    """

    declared: Mapping[str, XMLTool]
    offered: Mapping[str, XMLTool]
    required: bool = False
    parallel: bool = True
    seed: str = ""

    @classmethod
    def of(cls, request: ChatRequest) -> XMLTools:
        """The tools of a request.

        Raises:
            NotCapable: for a tool that is no function.
            RequestRejected: for a function without a name that could be a tag, and for a choice of one that is not
                declared.
        """
        declared = {tool.name: tool for tool in map(_declared, request.tools)}
        names, required = _chosen(request.tool_choice, declared)
        return cls(
            declared=declared,
            offered={name: declared[name] for name in declared if name in names},
            required=required and bool(names),
            parallel=request.raw.get("parallel_tool_calls") is not False,
            seed=blake2b(request.body, digest_size=12).hexdigest() if declared else "",
        )

    @classmethod
    def native(cls, request: ChatRequest) -> XMLTools:
        """The tools of a request to a backend that finds the calls by itself.

        Its text is left alone, what it has found is checked, and no tool is refused.
        """
        declared: dict[str, XMLTool] = {}
        for raw in request.tools:
            try:
                tool = _declared(raw)
            except ProviderError:
                continue
            declared[tool.name] = tool
        return cls(declared=declared, offered={})

    def written(self, request: ChatRequest) -> ChatRequest:
        """The request without tools of its own: they stand in the system message, earlier calls and results as text.

        The same body where there is nothing of all this.
        """
        messages: Sequence[Mapping[str, Any]] = spoken(request.messages, self.declared)
        if self.offered:
            section = tools_section(self.offered.values(), required=self.required, parallel=self.parallel)
            messages = with_section(messages, section)
        gone = {name: ... for name in ("tools", "tool_choice", "parallel_tool_calls") if name in request.raw}
        return request.changed(messages=messages, **gone)

    def parser(self, choice: int = 0) -> XMLToolParser:
        """A parser for the text of one choice of the answer."""
        return XMLToolParser(self.offered, seed=f"{self.seed}:{choice}", parallel=self.parallel)

    def reader(self, who: str) -> XMLToolReader:
        """A reader for the answer; `who` is the provider's id, for messages."""
        return XMLToolReader(self, who=who)

    def answer(self, answer: ChatResponse, who: str) -> ChatResponse:
        """A plain answer with the calls that stand in its text.

        Raises:
            MalformedAnswer: for a call that the end of the text has cut off.
        """
        return self.reader(who).whole(answer)


def _declared(tool: object) -> XMLTool:
    kind = tool.get("type", "function") if isinstance(tool, Mapping) else None
    if not isinstance(tool, Mapping) or kind != "function":
        raise NotCapable(f"a tool of the type {kind} cannot be written into a prompt", detail=f"tool type {kind}")
    function = tool.get("function")
    function = function if isinstance(function, Mapping) else {}
    name = function.get("name")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise RequestRejected(f"tools: {name!r} is no name of a function", detail="name of a tool")
    return XMLTool(name, str(function.get("description") or ""), Schema.of(function.get("parameters")))


def _chosen(choice: object, declared: Mapping[str, XMLTool]) -> tuple[frozenset[str], bool]:
    """The names of the tools that may be called, and whether one has to be."""
    if choice is None or isinstance(choice, str):
        return frozenset() if choice == "none" else frozenset(declared), choice == "required"
    wanted = choice if isinstance(choice, Mapping) else {}
    if wanted.get("type") == "allowed_tools":
        allowed = wanted.get("allowed_tools")
        allowed = allowed if isinstance(allowed, Mapping) else wanted
        listed = allowed.get("tools")
        names = [_function_name(tool) for tool in listed] if isinstance(listed, list) else []
        required = allowed.get("mode") == "required"
    else:
        names, required = [_function_name(wanted)], True
    for name in names:
        if not isinstance(name, str) or name not in declared:
            raise RequestRejected(f"tool_choice: {name!r} is none of the tools", detail="tool_choice")
    return frozenset(str(name) for name in names), required


def _function_name(tool: object) -> object:
    function = tool.get("function", tool) if isinstance(tool, Mapping) else None
    return function.get("name") if isinstance(function, Mapping) else None
