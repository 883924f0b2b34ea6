"""The section of a prompt that tells a model its tools."""

from __future__ import annotations

from collections.abc import Iterable

from provider_router.chat import encode
from provider_router.dialects.xml_tools.schema import Schema
from provider_router.dialects.xml_tools.tool import XMLTool

_HEAD = """\
# Tools

You can call the tools below. A call is an XML element that is named like the tool and has one child element for each \
parameter:

<tool_name>
<parameter_name>value</parameter_name>
</tool_name>

- Write a call exactly like that, outside of code fences, and only with the tools and parameters that are listed here.
- Text is taken as it stands, line breaks included; nothing in it has to be escaped. Where it contains XML tags or \
entities, put it between <![CDATA[ and ]]>.
- Numbers and booleans are written plainly, objects and arrays as JSON.
- You may say something before a call.
"""
_MANY = "- You may make several calls in one message, one after the other."
_ONE = "- Make at most one call in a message."
_RESULTS = "- The results come in the next message. Never make them up: end your message after the last call."
_REQUIRED = "- Your next message has to contain a call."
_NAMED = "- Your next message has to contain a call of {name}."
_PLACEHOLDERS = {"integer": "1", "number": "1.5", "boolean": "true", "array": "[…]", "object": "{…}", "null": "null"}


def tools_section(tools: Iterable[XMLTool], *, required: bool = False, parallel: bool = True) -> str:
    """The section: how a call is written, then every tool with its parameters and an example.

    Args:
        tools: that may be called.
        required: one has to be called now.
        parallel: several may be called in one message.
    """
    tools = list(tools)
    lines = [_HEAD + (_MANY if parallel else _ONE), _RESULTS]
    if required:
        lines.append(_NAMED.format(name=tools[0].name) if len(tools) == 1 else _REQUIRED)
    return "\n".join([*lines, "", "<tools>", "\n\n".join(map(_tool, tools)), "</tools>"])


def _tool(tool: XMLTool) -> str:
    lines = [f"## {tool.name}"]
    if tool.description:
        lines.append(tool.description)
    if tool.as_json or (tool.free and tool.schema.raw):
        lines += ["The arguments are one JSON object of this schema:", encode(tool.schema.raw).decode()]
        return "\n".join([*lines, f"<{tool.name}>", "{…}", f"</{tool.name}>"])
    if tool.properties:
        lines.append("Parameters:")
        lines += [_parameter(name, schema, required=name in tool.required) for name, schema in tool.properties.items()]
    example = [f"<{name}>{_placeholder(schema)}</{name}>" for name, schema in tool.properties.items()]
    return "\n".join([*lines, f"<{tool.name}>", *example, f"</{tool.name}>"])


def _parameter(name: str, schema: Schema, *, required: bool) -> str:
    kinds = schema.kinds
    kind = " or ".join(sorted(kinds)) if len(kinds) < 4 else "any"
    line = f"- {name} ({kind}, {'required' if required else 'optional'})"
    if description := schema.raw.get("description"):
        line += f": {description}"
    if members := schema.members:
        line += f" One of: {', '.join(encode(member).decode() for member in members)}"
    elif kinds & {"object", "array"} and len(kinds) < 4:
        line += f" JSON schema: {encode(schema.whole()).decode()}"
    return line


def _placeholder(schema: Schema) -> str:
    kinds = schema.kinds
    return "…" if "string" in kinds else _PLACEHOLDERS[min(kinds - {"null"} or kinds)]
