"""XMLCall: one call while it is read, fed with the texts and tags that follow its opening tag."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final

from provider_router.chat import decode, encode
from provider_router.dialects.xml_tools.schema import trimmed, unwrapped
from provider_router.dialects.xml_tools.tool import XMLTool

# Spaces inside a tag are few, so that what may still become a tag is short.
TAG: Final = re.compile(r"<(?P<close>/?)(?P<name>[^\s<>/&!?\"'=\[\]]{1,128})\s{0,8}(?P<alone>/?)>|<!\[CDATA\[|\]\]>")
PART_OF_TAG: Final = re.compile(
    r"<(?:/?(?:[^\s<>/&!?\"'=\[\]]{1,128}\s{0,8}/?)?|!(?:\[(?:C(?:D(?:A(?:T(?:A)?)?)?)?)?)?)\Z|\]{1,2}\Z"
)


class Outcome(Enum):
    """What a piece makes of a call."""

    OPEN = auto()
    DONE = auto()
    NO_CALL = auto()
    """It never was one: all of it is text, and this piece has not been taken."""
    NO_CALL_AT_ALL = auto()
    """The same, and this piece belongs to that text."""


class _At(Enum):
    START = auto()  # nothing yet but spaces
    JSON = auto()
    VALUE = auto()
    AFTER = auto()  # a closing tag that ends the value if what follows is as it should be


class XMLCall:
    """A call that has begun.

    A value ends at the closing tag of its parameter that another parameter or the end of the call follows; one that
    is opened anew inside the value is closed first. So tags, code and whole calls can stand in a value. Where that
    leads to no end, `lenient` takes the first closing tag for the end.

    Attributes:
        tool: which is called.
        opening: its opening tag as it was written.
        size: letters that have been read of it, as whoever feeds it counts them.
        arguments: JSON text, when it is done.
    """

    def __init__(self, tool: XMLTool, opening: str, *, lenient: bool = False) -> None:
        self.tool = tool
        self.opening = opening
        self.size = len(opening)
        self.arguments = ""
        self._lenient = lenient
        self._raw = [opening]
        self._at = _At.START
        self._values: list[tuple[str, str, bool]] = []
        self._name = ""
        self._value: list[str] = []
        self._tail: list[str] = []  # the closing tag that may end the value, and the spaces after it
        self._depth = 0
        self._section = False  # the value is CDATA
        self._blank = True  # nothing but spaces stands in the value, or after the end of its section

    @property
    def raw(self) -> str:
        """Everything of it."""
        return "".join(self._raw)

    def begun(self, rest: str) -> bool:
        """Whether it is more than an opening tag, which a text may name in passing; `rest` is the part of a tag."""
        if self._at is not _At.START or not rest:
            return self._at is not _At.START
        name = rest.lstrip("</").rstrip()
        return self.tool.free or any(known.startswith(name) for known in [self.tool.name, *self.tool.properties])

    def text(self, text: str) -> Outcome:
        """What stands between two tags."""
        if not text:
            return Outcome.OPEN
        if self._at is _At.START and (words := text.lstrip()):
            if words[0] != "{":
                return Outcome.NO_CALL
            self._at = _At.JSON
        self._raw.append(text)
        if self._at is _At.AFTER:
            if not text.strip() or self._lenient:
                self._tail.append(text)
                return Outcome.OPEN
            self._go_on()
        if self._at in (_At.VALUE, _At.JSON):
            self._add(text)
        return Outcome.OPEN

    def tag(self, tag: re.Match[str]) -> Outcome:
        """A tag, or the beginning or end of a CDATA section."""
        if self._at is _At.START:
            return self._first(tag)
        self._raw.append(tag[0])
        if self._at is _At.JSON:
            return self._json(tag)
        if self._at is _At.AFTER:
            return self._after(tag)
        return self._in_value(tag)

    def _first(self, tag: re.Match[str]) -> Outcome:
        if self._ends(tag):
            if self.tool.required:
                return Outcome.NO_CALL
            self._raw.append(tag[0])
            return self._done()
        if not self._begins(tag, any_name=False):
            return Outcome.NO_CALL
        self._raw.append(tag[0])
        return self._begin(tag)

    def _json(self, tag: re.Match[str]) -> Outcome:
        if not self._ends(tag):
            self._add(tag[0])
            return Outcome.OPEN
        try:
            values = decode("".join(self._value))
            self.arguments = encode(values).decode()
        except ValueError:
            return Outcome.NO_CALL_AT_ALL
        return Outcome.DONE if isinstance(values, dict) else Outcome.NO_CALL_AT_ALL

    def _after(self, tag: re.Match[str]) -> Outcome:
        if self._ends(tag):
            self._keep()
            return self._done()
        if self._begins(tag, any_name=self._lenient or self._section):
            self._keep()
            return self._begin(tag)
        if self._lenient:
            self._tail.append(tag[0])
            return Outcome.OPEN
        self._go_on()
        return self._in_value(tag)

    def _in_value(self, tag: re.Match[str]) -> Outcome:
        text = tag[0]
        if self._lenient and self._ends(tag):
            self._keep()
            return self._done()
        if tag["name"] == self._name and not tag["alone"]:
            if tag["close"] and (self._blank if self._section else not self._depth):
                self._at = _At.AFTER
                self._tail = [text]
                return Outcome.OPEN
            if not self._section and not self._lenient:
                self._depth += -1 if tag["close"] else 1
        self._add(text)
        if self._section and text == "]]>":
            self._blank = True
        return Outcome.OPEN

    # What the tags mean

    def _ends(self, tag: re.Match[str]) -> bool:
        return bool(tag["close"]) and tag["name"] == self.tool.name

    def _begins(self, tag: re.Match[str], *, any_name: bool) -> bool:
        name = tag["name"]
        return bool(name) and not tag["close"] and (any_name or self.tool.free or name in self.tool.properties)

    def _begin(self, tag: re.Match[str]) -> Outcome:
        self._name, self._value, self._tail = tag["name"], [], []
        self._depth, self._section, self._blank = 0, False, True
        self._at = _At.AFTER if tag["alone"] else _At.VALUE
        return Outcome.OPEN

    def _go_on(self) -> None:
        """The closing tag was part of the value."""
        self._at = _At.VALUE
        self._value += self._tail
        self._tail = []
        self._blank = False

    def _add(self, text: str) -> None:
        if self._blank and not self._lenient and text == "<![CDATA[" and not self._section:
            self._section = True
        if self._blank and text.strip():
            self._blank = False
        self._value.append(text)

    def _keep(self) -> None:
        text = "".join(self._value)
        if literal := self._section or (self._lenient and _is_section(text)):
            text = unwrapped(text.strip())
        self._values.append((self._name, text if literal else trimmed(text), literal))

    def _done(self) -> Outcome:
        self.arguments = self.tool.arguments(self._values)
        return Outcome.DONE


def _is_section(text: str) -> bool:
    text = text.strip()
    return text.startswith("<![CDATA[") and text.endswith("]]>")
