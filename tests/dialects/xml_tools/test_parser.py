"""Calls are found in a text however it is cut, and what is no call stays text."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.chat import ToolCall
from provider_router.dialects.xml_tools import XMLTool, XMLToolParser
from provider_router.dialects.xml_tools.schema import Schema

Said = list[str | tuple[str, Any]]

POINT = {"type": "object", "properties": {"x": {"type": "integer"}, "name": {"type": "string"}}}
SCHEMAS: Mapping[str, Any] = {
    "read_file": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "limit": {"type": "integer"}},
        "required": ["path"],
        "additionalProperties": False,
    },
    "write_file": {
        "type": "object",
        "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
        "required": ["path", "content"],
    },
    "plot": {
        "type": "object",
        "$defs": {"point": POINT},
        "properties": {
            "points": {"type": "array", "items": {"$ref": "#/$defs/point"}},
            "centre": {"$ref": "#/$defs/point"},
            "scale": {"type": "number"},
            "grid": {"type": "boolean"},
            "label": {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "kind": {"enum": ["line", "bar", 3]},
            "any": {},
        },
    },
    "time": {"type": "object", "properties": {}, "additionalProperties": False},
    "search": {"type": "object", "properties": {"search": {"type": "string"}}, "required": ["search"]},
    "odd": {"type": "object", "properties": {"user name": {"type": "string"}}},
    "free": {"type": "object"},
}
TOOLS = {name: XMLTool(name, f"Does {name}.", Schema.of(schema)) for name, schema in SCHEMAS.items()}


def read(*pieces: str, whole: bool = True, **options: Any) -> Said:
    """What a text says: its texts joined where they follow each other, its calls as (name, arguments)."""
    parser = XMLToolParser(TOOLS, **options)
    found = [item for piece in pieces for item in parser.feed(piece)] + parser.close(whole=whole)
    said: Said = []
    for item in found:
        if isinstance(item, ToolCall):
            said.append((item.name, json.loads(item.arguments)))
        elif said and isinstance(said[-1], str):
            said[-1] += item
        else:
            said.append(item)
    return [*said, ("cut", parser.cut)] if parser.cut else said


def cut_at(text: str, cuts: Sequence[int]) -> list[str]:
    bounds = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    return [text[start:end] for start, end in itertools.pairwise(bounds)]


CUTS = st.lists(st.integers(0, 400), max_size=12)
# What the dialect turns on, beside whatever else there may be.
_WORDS = st.sampled_from(
    [
        *(f"<{name}>" for name in [*TOOLS, "path", "content", "limit", "x", "b"]),
        *(f"</{name}>" for name in [*TOOLS, "path", "content", "limit", "x", "b"]),
        "<time/>", "<path/>", "<![CDATA[", "]]>", "]", "<", ">", "&amp;", "&", " ", "\n", "{", "}", '{"a":1}',
        "<read_file>\n<path>a</path>\n</read_file>", "<write_file><path>a</path><content>", "</content></write_file>",
    ]
)  # fmt: skip
TEXTS = st.lists(st.one_of(_WORDS, st.text(max_size=4)), max_size=25).map("".join)


@given(TEXTS, CUTS, st.booleans(), st.booleans())
def test_any_cutting_of_the_text_says_the_same(text: str, cuts: list[int], whole: bool, parallel: bool) -> None:
    once = read(text, whole=whole, parallel=parallel)
    assert once == read(*cut_at(text, cuts), whole=whole, parallel=parallel)
    assert once == read(*text, whole=whole, parallel=parallel)


@given(TEXTS, CUTS)
def test_a_text_without_a_call_comes_out_as_it_went_in(text: str, cuts: list[int]) -> None:
    said = read(*cut_at(text, cuts))
    if not any(isinstance(item, tuple) for item in said):
        assert text == "".join(str(item) for item in said)


@given(TEXTS, CUTS)
def test_with_no_tools_everything_is_text_at_once(text: str, cuts: list[int]) -> None:
    parser = XMLToolParser({})
    for piece in cut_at(text, cuts):
        assert [piece] * bool(piece) == parser.feed(piece)
    assert [] == parser.close()


CALL = ("read_file", {"path": "src/a.py", "limit": 20})
WRITTEN = "<read_file>\n<path>src/a.py</path>\n<limit>20</limit>\n</read_file>"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"I will look.\n{WRITTEN}", ["I will look.", CALL]),
        (WRITTEN, [CALL]),
        (f"\n\n{WRITTEN}\n", [CALL]),
        (f"{WRITTEN}\n{WRITTEN}", [CALL, CALL]),
        (f"{WRITTEN} and then{WRITTEN}.", [CALL, " and then", CALL, "."]),
        (f"```xml\n{WRITTEN}\n```", ["```xml", CALL, "\n```"]),
        ("<read_file ><path >a</path ></read_file >", [("read_file", {"path": "a"})]),
        ("<read_file><path/></read_file>", [("read_file", {"path": ""})]),
        ("<time></time>", [("time", {})]),
        ("<time/>", [("time", {})]),
        ("<time>\n</time>", [("time", {})]),
        ("<search><search>x</search></search>", [("search", {"search": "x"})]),
        ('<read_file>\n{"path": "a", "limit": 2}\n</read_file>', [("read_file", {"path": "a", "limit": 2})]),
        ('<read_file>{"path": "<b>x</b>"}</read_file>', [("read_file", {"path": "<b>x</b>"})]),
        ('<odd>{"user name": "x"}</odd>', [("odd", {"user name": "x"})]),
        ("<free><any>1</any><other>x</other></free>", [("free", {"any": 1, "other": "x"})]),
        # A parameter that nobody has declared is the tool's business, once a declared one stands before it.
        ("<read_file><path>a</path><offset>3</offset></read_file>", [("read_file", {"path": "a", "offset": 3})]),
        # As in JSON, the last of a name counts.
        ("<read_file><path>a</path><path>b</path></read_file>", [("read_file", {"path": "b"})]),
    ],
)
def test_a_call_is_read(text: str, said: Said) -> None:
    assert said == read(text)


@pytest.mark.parametrize(
    "text",
    [
        "a <b>x</b> and <p>y</p>",
        "<unknown><path>a</path></unknown>",
        "1 < 2 && 3 > 2 <",
        "Use <read_file> to read, then </read_file>.",
        "The tool <read_file> <b>is</b> there",
        "<time>12:00</time>",
        "<read_file></read_file>",  # a path is required
        "<read_file/>",
        "<time><b>12</b></time>",
        "<read_file><b>x</b></read_file>",
        "<time>{no JSON}</time>",
        '<time>["a"]</time>',
        "<READ_FILE><path>a</path></READ_FILE>",
        "< read_file><path>a</path></read_file>",
        "Say <read_file>",
        "Say <read_fi",
        "   \n  ",
        " " * 300,
    ],
)
def test_what_is_no_call_stays_text(text: str) -> None:
    assert [text] == read(text) == read(*text)


@pytest.mark.parametrize(
    "value",
    [
        "<html>\n  <content>x</content>\n</html>",
        'print("</content>")\n',
        "a </content> <b>x</b>",
        "if a < b && c > d: pass  # &lt; is no <",
        "<write_file><path>x</path><content>y</content></write_file>",
        "see </write_file> there",
        "<![CDATA[x]]> and more",
        "a[b[0]]>1",
        "line\n\n  indented\n",
        "<path>other</path>",
    ],
)
def test_a_value_with_tags_and_code_survives_unescaped(value: str) -> None:
    text = f"<write_file>\n<path>a.html</path>\n<content>\n{value}\n</content>\n</write_file>\nDone."
    assert [("write_file", {"path": "a.html", "content": value}), "\nDone."] == read(text) == read(*text)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("<![CDATA[a </content></write_file> & &amp; b]]>", "a </content></write_file> & &amp; b"),
        ("\n<![CDATA[\nx\n]]>\n", "\nx\n"),
        ("<![CDATA[a]]]]><![CDATA[>b]]>", "a]]>b"),
        ("<![CDATA[if a<b]]>", "if a<b"),
        ("<![CDATA[a ]]> b ]]>", "a ]]> b "),  # a model does not know that it has to cut it in two
        ("<![CDATA[<content>]]>", "<content>"),
        ("a &amp;&amp; b &lt;c&gt; &#39;d&#x27; &quot;", "a && b <c> 'd' \""),
        ("a && b &lt;", "a && b &lt;"),
        ("<p>&nbsp;&amp;</p>", "<p>&nbsp;&amp;</p>"),
    ],
)
def test_sections_and_entities_mean_what_they_say(written: str, value: str) -> None:
    text = f"<write_file><path>a</path><content>{written}</content></write_file>"
    assert [("write_file", {"path": "a", "content": value})] == read(text) == read(*text)


def test_text_is_passed_on_at_once_and_only_what_may_become_a_tag_is_held_back() -> None:
    parser = XMLToolParser(TOOLS)
    assert ["I will"] == parser.feed("I will ")
    assert [" look <b"] == parser.feed("look <b")
    assert [">here</b>"] == parser.feed(">here</b><")
    assert [] == parser.feed("read_")
    assert ["<read_x"] == parser.feed("x")
    assert [] == parser.feed(" <read_file")
    assert [] == parser.feed("> ")
    assert [" <read_file> i"] == ["".join(map(str, parser.feed("i")))]


def test_a_call_comes_as_soon_as_it_is_complete() -> None:
    parser = XMLToolParser(TOOLS)
    assert [] == parser.feed(WRITTEN[:-1])
    (call,) = parser.feed(WRITTEN[-1])
    assert isinstance(call, ToolCall)
    assert ("read_file", '{"path":"src/a.py","limit":20}') == (call.name, call.arguments)


def test_a_call_that_is_cut_off_is_told_and_no_call() -> None:
    begins = len("<read_file>\n<")
    for end in range(begins, len(WRITTEN)):
        said = read(*WRITTEN[:end], whole=False)
        assert [WRITTEN[:end], ("cut", "read_file")] == said
        assert said == read(WRITTEN[:end])
    for end in range(1, begins):
        assert [WRITTEN[:end]] == read(WRITTEN[:end])
    assert ["<time>{}", ("cut", "time")] == read("<time>{}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        # A tag that the value opens and never closes.
        (
            "<write_file><path>a</path><content>a <content> b</content></write_file> then <time/>",
            [("write_file", {"path": "a", "content": "a <content> b"}), " then", ("time", {})],
        ),
        # Something between two parameters.
        ("<read_file><path>a</path> and <limit>2</limit></read_file>", [("read_file", {"path": "a", "limit": 2})]),
        ("<read_file><path>a</path></b></read_file>", [("read_file", {"path": "a"})]),
        # A value that is not closed.
        ("<read_file><path>a</read_file>", [("read_file", {"path": "a"})]),
        # A parameter that nobody has declared, with CDATA.
        ("<read_file><path>a</path><x><![CDATA[<]]></x></read_file>", [("read_file", {"path": "a", "x": "<"})]),
    ],
)
def test_tags_that_do_not_match_are_read_leniently_when_the_model_has_ended(text: str, said: Said) -> None:
    assert said == read(text) == read(*text)


def test_a_call_that_was_cut_from_outside_is_never_read_leniently() -> None:
    text = "<write_file><path>a</path><content>doc: <write_file><path>b</path><content>x</content></write_file> and"
    assert [text, ("cut", "write_file")] == read(text, whole=False)


@given(TEXTS, CUTS, st.integers(20, 90))
def test_a_call_that_comes_to_no_end_is_told_however_the_text_is_cut(text: str, cuts: list[int], most: int) -> None:
    once = read(text, most=most)
    assert once == read(*cut_at(text, cuts), most=most) == read(*text, most=most)


@given(TEXTS)
def test_never_is_more_held_back_than_what_may_become_a_tag_and_a_call_of_bounded_length(text: str) -> None:
    parser = XMLToolParser(TOOLS, most=50)
    told = 0
    for place, letter in enumerate(text, 1):
        found = parser.feed(letter)
        told = place if any(isinstance(item, ToolCall) for item in found) else told + len("".join(map(str, found)))
        assert place - told <= 50 + 160 + 64


def test_what_follows_a_call_without_end_is_text() -> None:
    parser = XMLToolParser(TOOLS, most=40)
    endless = "<read_file><path>" + "a" * 40
    assert [endless] == parser.feed(endless)
    assert "read_file" == parser.cut
    assert [WRITTEN] == parser.feed(WRITTEN)
    assert [] == parser.close()
    blank = XMLToolParser(TOOLS, most=40)
    assert "<time>" + " " * 60 + "!" == "".join(map(str, [*blank.feed("<time>" + " " * 60), *blank.feed("!")]))
    assert blank.cut is None


def test_further_calls_are_left_out_where_only_one_may_come() -> None:
    assert [CALL, " two three"] == read(f"{WRITTEN} two {WRITTEN} three", parallel=False)


def test_calls_have_ids_of_their_own_and_the_same_ones_again() -> None:
    def ids(seed: str) -> list[str]:
        found = XMLToolParser(TOOLS, seed=seed).feed(WRITTEN * 3)
        return [call.id for call in found if isinstance(call, ToolCall)]

    assert 6 == len({*ids("a"), *ids("b")})
    assert ids("a") == ids("a")
    assert all(name.startswith("call_") for name in ids("a"))


@pytest.mark.parametrize(
    "piece",
    [
        "<write_file><path>a</path><content>" + "x" * 30,
        "<write_file><path>",
        "<write_file><path>a</path><content></content><b>",
        "<read_file",
        "<read_file> ",
        " ",
        "]",
        "<![CDATA[",
        "<write_file><path>a</path><content><![CDATA[]]>",
        "<time>{</time>",
        WRITTEN,
    ],
)
def test_the_time_for_a_long_text_grows_with_its_length_alone(piece: str) -> None:
    def seconds(times: int) -> float:
        parser = XMLToolParser(TOOLS)
        text = "<write_file><path>a</path><content>" + piece * times
        begun = time.process_time()
        for start in range(0, len(text), 7):
            parser.feed(text[start : start + 7])
        parser.close()
        return time.process_time() - begun

    small, large = (min(seconds(times) for _ in range(2)) for times in (150, 1200))
    assert large < 40 * small + 0.02
