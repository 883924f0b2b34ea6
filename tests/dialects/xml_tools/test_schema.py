"""A value is what its schema says, and what is written is read again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from provider_router.chat import ToolCall
from provider_router.dialects.xml_tools import XMLTool, XMLToolParser
from provider_router.dialects.xml_tools.schema import Schema, mended_value, read_value

STRING = {"type": "string"}
OPTIONAL = {"anyOf": [STRING, {"type": "null"}]}
MANY = {"type": "array", "items": {"type": "integer"}}
PAIR = {"type": "object", "properties": {"old": STRING, "count": {"type": "integer"}}}
TREE = {"$ref": "#/$defs/tree", "$defs": {"tree": {"properties": {"name": STRING, "next": {"$ref": "#/$defs/tree"}}}}}


@pytest.mark.parametrize(
    ("text", "schema", "value"),
    [
        ("007", STRING, "007"),
        ("true", STRING, "true"),
        ('{"a": 1}', STRING, '{"a": 1}'),
        ("  x ", STRING, "  x "),
        ("20", {"type": "integer"}, 20),
        ("\n20\n", {"type": "integer"}, 20),
        ("20.0", {"type": "integer"}, 20),
        ("020", {"type": "integer"}, "020"),
        ("many", {"type": "integer"}, "many"),
        ("1.5", {"type": "number"}, 1.5),
        ("2", {"type": "number"}, 2),
        ("NaN", {"type": "number"}, "NaN"),
        ("1e999", {"type": "number"}, "1e999"),
        ("9" * 5000, {"type": "integer"}, "9" * 5000),
        ("True", {"type": "boolean"}, True),
        ("false", {"type": "boolean"}, False),
        ("yes", {"type": "boolean"}, "yes"),
        ("null", {"type": ["integer", "null"]}, None),
        ("null", {"type": "integer", "nullable": True}, None),
        ("null", OPTIONAL, None),
        ('"null"', OPTIONAL, "null"),
        ('"exact phrase"', OPTIONAL, '"exact phrase"'),
        ("7", {"anyOf": [STRING, {"type": "integer"}]}, 7),
        ("007", {"anyOf": [STRING, {"type": "integer"}]}, "007"),
        ("high", {"enum": ["low", "high"]}, "high"),
        (" high\n", {"enum": ["low", "high"]}, "high"),
        ("3", {"enum": ["low", 3]}, 3),
        ("3", {"enum": ["3"]}, "3"),
        ("other", {"enum": ["low"]}, "other"),
        ("5", {"const": 5}, 5),
        ("[1, 2]", MANY, [1, 2]),
        ("1", MANY, [1]),
        ("1", {"type": "array"}, [1]),
        ("1", {"anyOf": [{"type": "null"}, MANY]}, [1]),
        ("<item>1</item>\n<item>2</item>", MANY, [1, 2]),
        ("<item>1</item> and <item>2</item>", MANY, ["<item>1</item> and <item>2</item>"]),
        ("", MANY, ""),
        ('{"old": "a", "count": 2}', PAIR, {"old": "a", "count": 2}),
        ("{&quot;old&quot;: &quot;a&quot;}", PAIR, {"old": "a"}),
        ('{"old": "&lt;"}', PAIR, {"old": "&lt;"}),
        ("<old>007</old><count>2</count>", PAIR, {"old": "007", "count": 2}),
        ("<old>\n<old>x</old>\n</old>", PAIR, {"old": "<old>x</old>"}),
        ("<other>x</other>", PAIR, "<other>x</other>"),
        ("<old>x", PAIR, "<old>x"),
        ("<old>x</old>", {"anyOf": [STRING, PAIR]}, {"old": "x"}),
        ("<next><name>007</name></next>", TREE, {"next": {"name": "007"}}),
        ("1", {}, 1),
        ("x", {}, "x"),
        ("1", {"$ref": "#/nowhere"}, 1),
        ("1", {"$ref": "elsewhere.json"}, 1),
        ("1", {"$ref": "#"}, 1),
        ("1", {"anyOf": [{"$ref": "#"}, {"$ref": "#"}, {"$ref": "#"}, {"$ref": "#"}, {"type": "integer"}]}, 1),
        ("1", {"allOf": [{"type": "integer"}]}, 1),
        ("[" * 100_000, MANY, ["[" * 100_000]),
    ],
)
def test_a_text_is_read_as_its_schema_says(text: str, schema: dict[str, Any], value: object) -> None:
    read = read_value(text, Schema.of(schema))
    assert (value, type(value)) == (read, type(read))


@pytest.mark.parametrize(
    ("given", "schema", "value"),
    [
        (7, STRING, "7"),
        (True, STRING, "true"),
        ("20", {"type": "integer"}, 20),
        ('{"old": "a"}', PAIR, {"old": "a"}),
        ({"old": 1}, PAIR, {"old": 1}),
        (1, {"type": "number"}, 1),
        ("007", STRING, "007"),
        ("x", {"type": "integer"}, "x"),
        ([1], {"type": "integer"}, [1]),
    ],
)
def test_what_somebody_else_has_read_is_mended_where_it_can_be(
    given: object, schema: dict[str, Any], value: object
) -> None:
    mended = mended_value(given, Schema.of(schema))
    assert (value, type(value)) == (mended, type(mended))


_texts = st.one_of(
    st.text(max_size=12),
    st.lists(
        st.sampled_from(
            ["<p>", "</p>", "</t>", "<t>", "<q>", "</q>", "]]>", "<![CDATA[", "&amp;", "\n", '"', "null", "7", "\r\n"]
        ),
        max_size=6,
    ).map("".join),
)
_integers = st.integers(-(2**70), 2**70)
_numbers = st.floats(allow_nan=False, allow_infinity=False) | _integers
_json = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_texts, inner, max_size=3),
    max_leaves=6,
)
_objects = st.fixed_dictionaries({}, optional={"old": _texts, "count": _integers})
_parameters = st.one_of(
    st.tuples(st.just(STRING), _texts),
    st.tuples(st.just({"type": "integer"}), _integers),
    st.tuples(st.just({"type": "number"}), _numbers),
    st.tuples(st.just({"type": "boolean"}), st.booleans()),
    st.tuples(st.just(OPTIONAL), st.none() | _texts),
    st.tuples(st.just({"anyOf": [STRING, {"type": "integer"}, {"type": "boolean"}]}), _texts | _integers),
    st.tuples(st.just({"enum": ["a", "<p>", " b\n", 3, None]}), st.sampled_from(["a", "<p>", " b\n", 3, None])),
    st.tuples(st.just(MANY), st.lists(_integers, max_size=3)),
    st.tuples(st.just({"type": "array", "items": STRING}), st.lists(_texts, max_size=3)),
    st.tuples(st.just({"anyOf": [PAIR, STRING]}), _objects | _texts),
    st.tuples(st.just(PAIR), _objects),
    st.tuples(st.just({}), _json),
)
_names = st.sampled_from(["p", "q", "t", "text"])
_odd_names = st.sampled_from(["user name", "a<b", "$ref", "p", "@type"])


@given(st.dictionaries(_names | _odd_names, _parameters, max_size=4), st.integers(1, 50))
def test_a_call_that_is_written_is_read_again(parameters: dict[str, Any], step: int) -> None:
    schema = {"type": "object", "properties": {name: schema for name, (schema, _) in parameters.items()}}
    values = {name: value for name, (_, value) in parameters.items()}
    tool = XMLTool("t", schema=Schema.of(schema))
    text = f"Look:\n{tool.call(json.dumps(values))}\nand on"
    parser = XMLToolParser({"t": tool})
    said = [item for start in range(0, len(text), step) for item in parser.feed(text[start : start + step])]
    said += parser.close()
    calls = [item for item in said if isinstance(item, ToolCall)]
    assert [values] == [json.loads(call.arguments) for call in calls]
    assert "Look:\nand on" == "".join(item for item in said if isinstance(item, str))


def test_plain_values_are_written_plainly_and_others_as_sections() -> None:
    tool = XMLTool("t", schema=Schema.of({"properties": {"p": STRING, "q": MANY}}))
    assert "<t>\n<p>007</p>\n<q>[1,2]</q>\n</t>" == tool.call('{"p": "007", "q": [1, 2]}')
    assert "<t>\n<p><![CDATA[<b>]]]]><![CDATA[></b>]]></p>\n</t>" == tool.call('{"p": "<b>]]></b>"}')
    assert '<t>\n{"user name":"\\u003cb>"}\n</t>' == tool.call('{"user name": "<b>"}')
    assert "<t>\n<p>7</p>\n</t>" == tool.call('{"p": 7}'), "it fits its schema in no form"
    assert '<t>\n<p><![CDATA[{"a":"<b>"}]]></p>\n</t>' == tool.call('{"p": {"a": "<b>"}}')
    assert "<t>\n</t>" == tool.call("")
    assert "<t>\nno JSON\n</t>" == tool.call("no JSON")
    assert "<t>\n[1]\n</t>" == tool.call("[1]")


@pytest.mark.parametrize(
    ("given", "mended"),
    [
        ('{"p": 7, "q": "[1]", "r": 1}', '{"p":"7","q":[1],"r":1}'),
        ("", "{}"),
        ("no JSON", "no JSON"),
        ("[1]", "[1]"),
    ],
)
def test_arguments_are_mended_by_the_schemas_of_the_parameters(given: str, mended: str) -> None:
    assert mended == XMLTool("t", schema=Schema.of({"properties": {"p": STRING, "q": MANY}})).mended(given)


def test_a_parameter_that_comes_often_is_an_array_where_one_is_declared() -> None:
    tool = XMLTool("t", schema=Schema.of({"properties": {"q": MANY}}))
    (call,) = XMLToolParser({"t": tool}).feed("<t><q>1</q><q>2</q></t>")
    assert isinstance(call, ToolCall)
    assert '{"q":[1,2]}' == call.arguments
