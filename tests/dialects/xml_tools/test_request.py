"""A request with tools becomes one without, and says the same."""

from __future__ import annotations

import json
from typing import Any

import pytest

from provider_router.chat import ChatRequest, ChatResponse
from provider_router.dialects.xml_tools import XMLTools, folded
from provider_router.errors import NotCapable, RequestRejected

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}


def tool(name: str, **properties: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": properties, "required": list(properties)[:1]}
    return {"type": "function", "function": {"name": name, "description": f"Does {name}.", "parameters": schema}}


READ = tool("read_file", path={"type": "string", "description": "Which file."}, limit={"type": "integer"})
TIME = {"type": "function", "function": {"name": "time"}}


def request(*messages: dict[str, Any], tools: Any = (READ, TIME), **fields: Any) -> ChatRequest:
    said = list(messages) or [{"role": "user", "content": "hi"}]
    return ChatRequest({"messages": said, **({"tools": list(tools)} if tools else {}), **fields})


def written(asked: ChatRequest) -> list[dict[str, Any]]:
    return list(XMLTools.of(asked).written(asked).raw["messages"])  # type: ignore[arg-type]


def call(arguments: str = '{"path":"a"}', name: str = "read_file", id: str = "c1") -> dict[str, Any]:
    return {"id": id, "type": "function", "function": {"name": name, "arguments": arguments}}


def test_a_request_without_tools_goes_out_byte_for_byte() -> None:
    body = b'{ "messages": [{"role": "user", "content": "<read_file>"}], "top_k": 40 }'
    asked = ChatRequest(body)
    assert body == XMLTools.of(asked).written(asked).body


def test_the_tools_stand_in_the_prompt_and_no_longer_in_the_body() -> None:
    asked = request(tool_choice="auto", parallel_tool_calls=True, temperature=0.5, tools=[READ, TIME])
    body = XMLTools.of(asked).written(asked).raw
    assert {"messages", "temperature"} == set(body)
    system, user = body["messages"]
    assert ("system", {"role": "user", "content": "hi"}) == (system["role"], user)
    assert (
        "## read_file\nDoes read_file.\nParameters:\n"
        "- path (string, required): Which file.\n- limit (integer, optional)\n"
        "<read_file>\n<path>…</path>\n<limit>1</limit>\n</read_file>\n\n## time\n"
    ) in system["content"]
    assert "several calls" in system["content"]
    assert "has to contain a call" not in system["content"]


def test_the_prompt_tells_what_each_parameter_may_be() -> None:
    several = tool(
        "several",
        kind={"enum": ["a", "b"]},
        points={"type": "array", "items": {"$ref": "#/$defs/p"}},
        label={"anyOf": [{"type": "string"}, {"type": "null"}], "description": "A label."},
        any={},
    )
    several["function"]["parameters"]["$defs"] = {"p": {"type": "object"}}
    odd = tool("odd", **{"user name": {"type": "string"}})
    (system, _) = written(request(tools=[several, odd]))
    for line in (
        '- kind (string, required) One of: "a", "b"',
        '- points (array, optional) JSON schema: {"type":"array","items":{"$ref":"#/$defs/p"},"$defs":{"p":{"type"',
        "- label (null or string, optional): A label.",
        "- any (any, optional)",
        "<points>[…]</points>",
        'one JSON object of this schema:\n{"type":"object","properties":{"user name":{"type":"string"}}',
        "<odd>\n{…}\n</odd>",
    ):
        assert line in system["content"]


@pytest.mark.parametrize("role", ["system", "developer"])
def test_the_section_follows_what_the_system_message_says(role: str) -> None:
    (system, _) = written(request({"role": role, "content": "Be brief."}, {"role": "user", "content": "hi"}))
    assert role == system["role"]
    assert system["content"].startswith("Be brief.\n\n# Tools\n")
    parts = [{"type": "text", "text": "Be brief."}]
    (system, _) = written(request({"role": role, "content": parts}, {"role": "user", "content": "hi"}))
    assert parts == system["content"][:1]
    assert system["content"][1]["text"].startswith("\n\n# Tools\n")
    (system, _) = written(request({"role": role, "content": None}, {"role": "user", "content": "hi"}))
    assert system["content"].startswith("# Tools\n")


@pytest.mark.parametrize(
    ("choice", "named", "line"),
    [
        ("auto", {"read_file", "time"}, None),
        ("none", set(), None),
        ("required", {"read_file", "time"}, "has to contain a call."),
        ({"type": "function", "function": {"name": "time"}}, {"time"}, "has to contain a call of time."),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"type": "function", "function": {"name": "time"}}]},
            },
            {"time"},
            "has to contain a call of time.",
        ),
        ({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "time"}]}, {"time"}, None),
    ],
)
def test_a_choice_says_which_tools_are_told(choice: Any, named: set[str], line: str | None) -> None:
    asked = request(tool_choice=choice)
    tools = XMLTools.of(asked)
    assert named == set(tools.offered)
    text = json.dumps(written(asked))
    assert named == {name for name in ("read_file", "time") if f"## {name}" in text}
    assert (line is None) == ("has to contain a call" not in text)
    assert line is None or line in text


def test_only_one_call_is_asked_for_where_only_one_may_come() -> None:
    asked = request(parallel_tool_calls=False)
    assert "at most one call" in written(asked)[0]["content"]
    answer = ChatResponse.of(text="<time/><time/>", model="m")
    assert 1 == len(XMLTools.of(asked).answer(answer, "desk").tool_calls)


@pytest.mark.parametrize("other", [{"type": "custom", "custom": {"name": "x"}}, None, "read_file"])
def test_a_tool_that_is_no_function_is_not_silently_left_out(other: object) -> None:
    with pytest.raises(NotCapable, match="cannot be written into a prompt"):
        XMLTools.of(request(tools=[READ, other]))


@pytest.mark.parametrize("allowed", [None, "x", {"mode": "auto"}, {"tools": 7}])
def test_a_choice_that_allows_nothing_tells_nothing(allowed: object) -> None:
    assert {} == XMLTools.of(request(tool_choice={"type": "allowed_tools", "allowed_tools": allowed})).offered


@pytest.mark.parametrize("function", [{}, None, {"name": 7}, {"name": ""}, {"name": "a b"}, {"name": "a<b"}])
def test_a_function_without_a_name_that_can_be_a_tag_is_refused(function: object) -> None:
    with pytest.raises(RequestRejected, match="no name of a function"):
        XMLTools.of(request(tools=[{"type": "function", "function": function}]))


@pytest.mark.parametrize(
    "choice", [{"type": "function", "function": {"name": "other"}}, {"type": "function"}, {"function": {"name": []}}, 7]
)
def test_a_choice_of_an_unknown_tool_is_refused(choice: object) -> None:
    with pytest.raises(RequestRejected, match="none of the tools"):
        XMLTools.of(request(tool_choice=choice))


def test_earlier_calls_and_their_results_are_written_back() -> None:
    asked = request(
        {"role": "user", "content": "Look."},
        {"role": "assistant", "content": "I will.", "tool_calls": [call('{"path":"<a>","limit":2}'), call(id="c2")]},
        {"role": "tool", "tool_call_id": "c1", "content": "x = 1"},
        {"role": "tool", "tool_call_id": "c2", "content": ""},
        {"role": "assistant", "content": None, "tool_calls": [call("{}", name="gone", id="c3")]},
        {"role": "tool", "tool_call_id": "c3", "content": [{"type": "text", "text": "</tool_result>"}]},
        {"role": "tool", "tool_call_id": "lost", "content": "?"},
        {"role": "user", "content": "And?"},
    )
    assert [
        ("user", "Look."),
        (
            "assistant",
            (
                "I will.\n<read_file>\n<path><![CDATA[<a>]]></path>\n<limit>2</limit>\n</read_file>\n"
                "<read_file>\n<path>a</path>\n</read_file>"
            ),
        ),
        (
            "user",
            (
                '<tool_result name="read_file">\nx = 1\n</tool_result>\n'
                '<tool_result name="read_file">\n(no output)\n</tool_result>'
            ),
        ),
        ("assistant", "<gone>\n</gone>"),
        (
            "user",
            (
                '<tool_result name="gone">\n<![CDATA[</tool_result>]]>\n</tool_result>\n'
                '<tool_result name="tool">\n?\n</tool_result>'
            ),
        ),
        ("user", "And?"),
    ] == [(message["role"], message["content"]) for message in written(asked)[1:]]


def test_calls_are_written_back_where_no_tool_is_offered_any_more() -> None:
    asked = request(
        {"role": "assistant", "content": "", "tool_calls": [call()], "name": "x"},
        {"role": "tool", "tool_call_id": "c1", "content": "x"},
        tools=(),
    )
    said, result = written(asked)
    assert {"role": "assistant", "content": "<read_file>\n<path>a</path>\n</read_file>", "name": "x"} == said
    assert "user" == result["role"]


def test_images_in_results_and_the_functions_of_old_are_kept() -> None:
    asked = request(
        {"role": "assistant", "content": None, "function_call": {"name": "read_file", "arguments": '{"path":"a"}'}},
        {"role": "function", "name": "read_file", "content": [{"type": "text", "text": "See:"}, IMAGE]},
    )
    _, said, result = written(asked)
    assert {"role": "assistant", "content": "<read_file>\n<path>a</path>\n</read_file>"} == said
    assert [
        {"type": "text", "text": '<tool_result name="read_file">\nSee:\n</tool_result>'},
        IMAGE,
    ] == result["content"]


def test_what_the_model_said_is_what_it_is_told_to_have_said() -> None:
    first = request({"role": "user", "content": "Look."})
    text = 'I will.\n<read_file>\n<path>a "b" c</path>\n<limit>2</limit>\n</read_file>'
    answer = XMLTools.of(first).answer(ChatResponse.of(text=text, model="m"), "desk")
    second = request({"role": "user", "content": "Look."}, answer.message)
    assert text == written(second)[2]["content"]


def test_ids_of_calls_differ_from_request_to_request() -> None:
    answer = ChatResponse.of(text="<time/>", model="m")
    ids = {
        XMLTools.of(request({"role": "user", "content": text})).answer(answer, "d").tool_calls[0].id for text in "ab"
    }
    assert 2 == len(ids)


# A whole conversation in one message


def test_a_short_conversation_is_left_as_it_is() -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": [IMAGE]}]
    assert messages == folded(messages)


def test_a_conversation_is_folded_into_one_message_of_the_user() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "One."},
        {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
        {"role": "user", "content": "Two?"},
    ]
    system, user = folded(messages)
    assert {"role": "system", "content": "Be brief.\n\nBe kind."} == system
    assert "user" == user["role"]
    assert user["content"].endswith("## User\nOne?\n\n## Assistant\nOne.\n\n## User\nTwo?")


def test_images_of_a_folded_conversation_stay_in_their_places() -> None:
    messages = [
        {"role": "user", "content": [{"type": "text", "text": "What is this?"}, IMAGE]},
        {"role": "assistant", "content": "A pelican."},
        {"role": "user", "content": "Sure?"},
    ]
    (user,) = folded(messages)
    assert IMAGE in user["content"]
    texts = [part.get("text") for part in user["content"]]
    assert "What is this?" == texts[user["content"].index(IMAGE) - 1]


def test_several_system_messages_before_one_question_are_one() -> None:
    messages = [{"role": "system", "content": text} for text in "ab"] + [{"role": "user", "content": [IMAGE]}]
    assert [{"role": "system", "content": "a\n\nb"}, {"role": "user", "content": [IMAGE]}] == folded(messages)
