"""XMLToolParser: the calls in a text, while it arrives in pieces."""

from __future__ import annotations

import re
from collections.abc import Mapping
from hashlib import blake2b
from typing import Final

from provider_router.chat import ToolCall
from provider_router.dialects.xml_tools.call import PART_OF_TAG, TAG, Outcome, XMLCall
from provider_router.dialects.xml_tools.tool import XMLTool

_LONGEST_TAG: Final = 160  # letters of what may still become a tag
_SPACE: Final = 64  # letters of space before a possible call that are held back, since a call swallows them
MOST_LETTERS: Final = 4 * 1024 * 1024  # of a call, many times what a model can say in one answer


class XMLToolParser:
    """Text in, text and finished calls out, whatever the cutting of the text.

    Text is passed on at once; held back is only what may still become the opening tag of a declared tool, the space
    before it, and a call until it is complete. Where no call is, the text that comes out is the text that went in.

    A call that does not come to its end within `most` letters comes as its text, and so does all that follows it.

    Attributes:
        cut: the name of the tool whose call was cut off: by the end of the text (after `close`), or by the bound.
        calls: how many calls there were.
    """

    def __init__(
        self, tools: Mapping[str, XMLTool], *, seed: str = "", parallel: bool = True, most: int = MOST_LETTERS
    ) -> None:
        """A parser for one text.

        Args:
            tools: those that may be called, by name. With none, everything is text.
            seed: makes the ids of the calls, so that those of two requests differ.
            parallel: whether more than one call may come; further ones are left out if not.
            most: letters of a call.
        """
        self.cut: str | None = None
        self.calls = 0
        self._tools = tools
        self._seed = seed
        self._parallel = parallel
        self._most = most
        self._rest = ""
        self._space = ""
        self._after_call = False
        self._call: XMLCall | None = None
        self._lenient = False
        names = "|".join(re.escape(name) for name in sorted(tools, key=len, reverse=True))
        self._opening = re.compile(rf"<(?P<name>{names})\s{{0,8}}(?P<alone>/?)>") if tools else None

    def feed(self, text: str) -> list[str | ToolCall]:
        """What this piece of the text completes, in order."""
        if self._opening is None:
            return [text] if text else []
        found: list[str | ToolCall] = []
        self._read(self._rest + text, found)
        if self.cut:
            self._opening = None
            found += self.close()
        return found

    def close(self, *, whole: bool = True) -> list[str | ToolCall]:
        """What is left at the end of the text. A call that is cut off comes as its text, and `cut` names its tool.

        Args:
            whole: the model came to its end by itself, so that a call whose tags do not match may be read leniently.
        """
        found: list[str | ToolCall] = []
        if (call := self._call) is not None:
            raw, begun = call.raw + self._rest, call.begun(self._rest)
            self._call, self._rest = None, ""
            if not begun:
                self._say(raw, found)
            elif whole and not self._lenient:
                self._lenient = True
                self._call = XMLCall(call.tool, call.opening, lenient=True)
                self._read(raw[len(call.opening) :], found)
                return found + self.close()
            else:
                self.cut = call.tool.name
                self._say(raw, found)
        else:
            self._say(self._rest, found)
            self._rest = ""
        if self._space and not self._after_call:
            found.append(self._space)
        self._space = ""
        return found

    def _read(self, data: str, found: list[str | ToolCall]) -> None:
        position = 0
        while True:
            if self._call is None:
                position, more = self._outside(data, position, found)
            else:
                position, more = self._inside(data, position, self._call, found)
            if not more:
                break
        self._rest = data[position:]

    def _outside(self, data: str, position: int, found: list[str | ToolCall]) -> tuple[int, bool]:
        assert self._opening is not None
        if opening := self._opening.search(data, position):
            self._say(data[position : opening.start()], found)
            tool = self._tools[opening["name"]]
            if not opening["alone"]:
                self._call = XMLCall(tool, opening[0], lenient=self._lenient)
            elif tool.required:
                self._say(opening[0], found)
            else:
                self._finish(tool, "{}", found)
            return opening.end(), True
        end = data.rfind("<", max(position, len(data) - _LONGEST_TAG))
        if end < 0 or not self._may_open(data[end:]):
            end = len(data)
        self._say(data[position:end], found)
        return end, False

    def _may_open(self, tail: str) -> bool:
        match = re.fullmatch(r"<([^\s/]*)(\s{0,8})(/?)", tail)
        if match is None:
            return False
        name = match[1]
        if match[2] or match[3]:
            return name in self._tools
        return any(tool.startswith(name) for tool in self._tools)

    def _inside(self, data: str, position: int, call: XMLCall, found: list[str | ToolCall]) -> tuple[int, bool]:
        begin = position
        for tag in TAG.finditer(data, position):
            outcome = call.text(data[position : tag.start()])
            if outcome is Outcome.OPEN:
                position = tag.start()
                if call.size + tag.end() - begin > self._most:
                    return self._without_end(call, position, found)
                outcome = call.tag(tag)
            if outcome is Outcome.OPEN:
                position = tag.end()
                continue
            self._call = None
            if outcome is Outcome.DONE:
                self._finish(call.tool, call.arguments, found)
                return tag.end(), True
            self._say(call.raw, found)
            return tag.end() if outcome is Outcome.NO_CALL_AT_ALL else position, True
        part = PART_OF_TAG.search(data, max(position, len(data) - _LONGEST_TAG))
        end = part.start() if part else len(data)
        if call.text(data[position:end]) is Outcome.NO_CALL:
            self._call = None
            self._say(call.raw, found)
            return position, True
        call.size += end - begin
        return (end, False) if call.size <= self._most else self._without_end(call, end, found)

    def _without_end(self, call: XMLCall, position: int, found: list[str | ToolCall]) -> tuple[int, bool]:
        """The call is longer than any is; all that is left is text."""
        self._call = None
        if call.begun(""):
            self.cut = call.tool.name
        self._say(call.raw, found)
        return position, not self.cut

    def _say(self, text: str, found: list[str | ToolCall]) -> None:
        """Text, but for the space at its end, which belongs to a call if one follows."""
        text = self._space + text
        words = text.rstrip()
        self._space = text[len(words) :]
        if len(self._space) > _SPACE:
            words, self._space = text[:-_SPACE], text[-_SPACE:]
        if words:
            found.append(words)
            self._after_call = False

    def _finish(self, tool: XMLTool, arguments: str, found: list[str | ToolCall]) -> None:
        self._space = ""
        self._after_call = True
        if self.calls and not self._parallel:
            return
        name = blake2b(f"{self._seed}:{self.calls}".encode("utf-8", "replace"), digest_size=12).hexdigest()
        found.append(ToolCall(f"call_{name}", tool.name, arguments))
        self.calls += 1
