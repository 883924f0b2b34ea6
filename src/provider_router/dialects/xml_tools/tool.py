"""XMLTool: a declared function as an element with one child for each parameter, and its calls as text."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

from attrs import frozen

from provider_router.chat import decode, encode
from provider_router.dialects.xml_tools.schema import ANYTHING, Schema, mended_value, read_value, write_value

NAME = re.compile(r"[^\s<>/&!?\"'=\[\]]{1,128}")


@frozen
class XMLTool:
    """A function that a model may call.

    Attributes:
        name: of the function and of its element.
        description: for the model.
        schema: of the arguments.
    """

    name: str
    description: str = ""
    schema: Schema = ANYTHING

    @cached_property
    def properties(self) -> Mapping[str, Schema]:
        """The declared parameters."""
        return self.schema.properties

    @cached_property
    def required(self) -> frozenset[str]:
        """The parameters that have to be there."""
        return frozenset(name for one in self.schema.alternatives() for name in _names(one.raw.get("required")))

    @cached_property
    def free(self) -> bool:
        """Whether it takes parameters that are not declared."""
        said = [one.raw for one in self.schema.alternatives()]
        more = [raw["additionalProperties"] for raw in said if "additionalProperties" in raw]
        return any(value is not False for value in more) if more else not self.properties

    @cached_property
    def as_json(self) -> bool:
        """Whether its arguments cannot be elements and are one JSON object."""
        return not all(NAME.fullmatch(name) for name in self.properties)

    def arguments(self, values: Sequence[tuple[str, str, bool]]) -> str:
        """The arguments as JSON text, from (name, text, literal) of each parameter in order."""
        texts: dict[str, list[tuple[str, bool]]] = {}
        for name, text, literal in values:
            texts.setdefault(name, []).append((text, literal))
        found: dict[str, Any] = {}
        for name, given in texts.items():
            schema = self._schema(name)
            if len(given) > 1 and "array" in schema.kinds:
                found[name] = [read_value(text, schema.items, literal=literal) for text, literal in given]
            else:  # as in JSON, the last of a name counts
                text, literal = given[-1]
                found[name] = read_value(text, schema, literal=literal)
        return encode(found).decode()

    def call(self, arguments: str) -> str:
        """A call as the model writes it. Arguments that are no JSON object stand in it as they are."""
        try:
            values = decode(arguments or "{}")
        except ValueError:
            values = None
        if not isinstance(values, dict):
            return f"<{self.name}>\n{arguments}\n</{self.name}>"
        if self.as_json or not all(NAME.fullmatch(name) for name in values):
            return f"<{self.name}>\n{json_body(values)}\n</{self.name}>"
        lines = [f"<{name}>{write_value(value, self._schema(name))}</{name}>" for name, value in values.items()]
        return "\n".join([f"<{self.name}>", *lines, f"</{self.name}>"])

    def mended(self, arguments: str) -> str:
        """Arguments that somebody else has read, with values of the declared types where a reading leads to one.

        `{"limit": "20"}` → `{"limit": 20}`, where an integer is declared; and 7 → `"7"`, where a text is.
        """
        try:
            values = decode(arguments or "{}")
        except ValueError:
            return arguments
        if not isinstance(values, dict):
            return arguments
        return encode({name: mended_value(value, self._schema(name)) for name, value in values.items()}).decode()

    def _schema(self, name: str) -> Schema:
        return self.properties.get(name) or ANYTHING


def json_body(values: Mapping[str, Any]) -> str:
    """Arguments as JSON without any `<`, so that no tag can be found in it."""
    return encode(values).decode().replace("<", "\\u003c")


def _names(value: object) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list | tuple) else []
