"""Values by their JSON schema: what the text of a parameter means, and how a value is written as such a text.

Of a schema only what tells one reading from another is looked at: types, enums, alternatives, references inside the
document. Whether a value is valid, the tool itself says.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from attrs import frozen

from provider_router.chat import decode, encode

KINDS: Final = frozenset({"string", "integer", "number", "boolean", "null", "object", "array"})
_DEPTH: Final = 16  # of elements inside a value
_ENTITY = re.compile(r"&(?:amp|lt|gt|quot|apos|#[0-9]{1,7}|#x[0-9a-fA-F]{1,6});")
_NONE: Final = object()


@frozen
class Schema:
    """A JSON schema, with the document that its references point into."""

    raw: Mapping[str, Any]
    root: Mapping[str, Any]

    @classmethod
    def of(cls, document: object) -> Schema:
        """The schema of a document; what is no schema says nothing."""
        raw = document if isinstance(document, Mapping) else {}
        return cls(raw, raw)

    def inner(self, raw: object) -> Schema:
        """A schema inside this one."""
        return Schema(raw if isinstance(raw, Mapping) else {}, self.root)

    def whole(self) -> Mapping[str, Any]:
        """The schema as a document of its own: with the definitions that it may refer to."""
        definitions = {name: self.root[name] for name in ("$defs", "definitions") if name in self.root}
        return {**self.raw, **definitions} if b'"$ref"' in encode(self.raw) else self.raw

    def alternatives(self) -> Iterator[Schema]:
        """Every schema without references and alternatives that this one may stand for, each once."""
        seen: dict[int, Mapping[str, Any]] = {}  # a schema may refer to itself
        waiting = [self]
        while waiting:
            one = waiting.pop(0)
            if id(one.raw) in seen:
                continue
            seen[id(one.raw)] = one.raw
            if isinstance(reference := one.raw.get("$ref"), str):
                waiting.insert(0, self.inner(_pointed(self.root, reference)))
                continue
            several = [part for name in ("anyOf", "oneOf", "allOf") for part in _items(one.raw.get(name))]
            if not several or "properties" in one.raw:
                yield one
            waiting[:0] = map(self.inner, several)

    @property
    def kinds(self) -> frozenset[str]:
        """The types that a value may have; all of them where nothing is said."""
        found: set[str] = set()
        for one in self.alternatives():
            found |= _own_kinds(one.raw)
        return frozenset(found) or KINDS

    @property
    def properties(self) -> dict[str, Schema]:
        """The declared properties of an object."""
        found: dict[str, Schema] = {}
        for one in self.alternatives():
            declared = one.raw.get("properties")
            if isinstance(declared, Mapping):
                found |= {str(name): self.inner(raw) for name, raw in declared.items()}
        return found

    @property
    def items(self) -> Schema:
        """What an array holds."""
        for one in self.alternatives():
            if isinstance(one.raw.get("items"), Mapping):
                return self.inner(one.raw["items"])
        return self.inner(None)

    @property
    def members(self) -> Sequence[Any]:
        """The only values that there are, if they are listed."""
        found: list[Any] = []
        for one in self.alternatives():
            found += _items(one.raw.get("enum"))
            if "const" in one.raw:
                found.append(one.raw["const"])
        return found


ANYTHING: Final = Schema.of(None)
"""The schema that says nothing."""


def _items(value: object) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else ()


def _pointed(root: Mapping[str, Any], reference: str) -> object:
    """What a reference inside the document points to: `#/$defs/Point`."""
    found: object = root
    for step in reference.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        found = found.get(name) if isinstance(found, Mapping) else None
    return found if reference.startswith("#") else None


def _own_kinds(raw: Mapping[str, Any]) -> frozenset[str]:
    said = raw.get("type")
    kinds = {kind for kind in ([said] if isinstance(said, str) else _items(said)) if kind in KINDS}
    if not kinds and (members := [*_items(raw.get("enum")), *([raw["const"]] if "const" in raw else [])]):
        kinds = {_kind(member) for member in members}
    if not kinds:
        kinds = {"object"} if "properties" in raw else {"array"} if "items" in raw else set(KINDS)
    return frozenset(kinds | ({"null"} if raw.get("nullable") is True else set()))


def _kind(value: object) -> str:
    if value is None:
        return "null"
    for types, kind in ((bool, "boolean"), (int, "integer"), (float, "number"), (str, "string"), (Mapping, "object")):
        if isinstance(value, types):
            return kind
    return "array"


def same(one: object, other: object) -> bool:
    """Whether two values are the same in JSON, where True is no 1."""
    return one == other and _kind(one) == _kind(other) and encode(one) == encode(other)


# From a text


def unescaped(text: str) -> str:
    """The text without its entities, if it is written as XML has it; as it stands, if it is not.

    A model may escape or not. A `<`, or an `&` that begins no entity, shows that it did not.
    """
    if "&" not in text or "<" in text or text.count("&") != sum(1 for _ in _ENTITY.finditer(text)):
        return text
    return _ENTITY.sub(lambda match: html.unescape(match[0]), text)


def read_value(text: str, schema: Schema, *, literal: bool = False, depth: int = _DEPTH) -> Any:
    """What a text means where this schema is asked for; what fits nothing stays a text.

    Args:
        text: as it stands between its tags.
        schema: of the value.
        literal: it was marked as such (CDATA): `&lt;` is no `<`.
        depth: of what may be nested in it.
    """
    plain = text if literal else unescaped(text)
    for candidate in schema.members:
        if isinstance(candidate, str) and candidate in (plain, plain.strip()):
            return candidate
    kinds = schema.kinds
    if kinds == {"string"}:
        return plain
    for form in dict.fromkeys((text, plain)):
        value = _fitting(_json(form), kinds)
        if isinstance(value, str) and value is not _NONE:
            # Quotation marks are taken off only where they had to be written.
            return value if not same(read_value(value, schema, literal=True), value) else plain
        if value is not _NONE:
            return value
    if "boolean" in kinds and plain.strip().lower() in ("true", "false"):
        return plain.strip().lower() == "true"
    if depth and (nested := _nested(text, schema, kinds, depth)) is not _NONE:
        return nested
    if "array" in kinds and "string" not in kinds and plain.strip():
        return [read_value(text, schema.items, literal=literal, depth=depth - 1)] if depth else plain
    return plain


def _json(text: str) -> object:
    """What JSON says, without the infinities and NaNs that it cannot say again."""
    try:
        value = decode(text)
        encode(value)
    except ValueError:
        return _NONE
    return value


def _fitting(value: object, kinds: frozenset[str]) -> object:
    if value is _NONE:
        return _NONE
    kind = _kind(value)
    if kind in kinds or (kind == "integer" and "number" in kinds):
        return value
    if isinstance(value, float) and value.is_integer() and "integer" in kinds:
        return int(value)
    return _NONE


def _nested(text: str, schema: Schema, kinds: frozenset[str], depth: int) -> object:
    """An object or an array that was written as elements instead of JSON."""
    if "<" not in text or not kinds & {"object", "array"} or (children := elements(text)) is None:
        return _NONE
    names = {name for name, _ in children}
    declared = schema.properties
    if "object" in kinds and names <= declared.keys():
        return {name: read_value(inner, declared[name], depth=depth - 1) for name, inner in children}
    if "array" in kinds and "string" not in kinds and len(names) == 1:
        return [read_value(inner, schema.items, depth=depth - 1) for _, inner in children]
    return _NONE


_OPENING = re.compile(r"\s*<([^\s<>/&!?\"'=\[\]]+)\s*>")


def elements(text: str) -> list[tuple[str, str]] | None:
    """The elements of which a text consists, with what stands in each; None if there is anything beside them."""
    found: list[tuple[str, str]] = []
    position = 0
    while opening := _OPENING.match(text, position):
        name, depth = opening[1], 1
        for tag in re.compile(rf"<(/?){re.escape(name)}\s*>").finditer(text, opening.end()):
            depth += -1 if tag[1] else 1
            if not depth:
                found.append((name, trimmed(text[opening.end() : tag.start()])))
                position = tag.end()
                break
        else:
            return None
    return found if found and not text[position:].strip() else None


def trimmed(text: str) -> str:
    """The text without the line break after its opening and the one before its closing tag."""
    text = text.removeprefix("\r\n") if text.startswith("\r\n") else text.removeprefix("\n")
    return text.removesuffix("\r\n") if text.endswith("\r\n") else text.removesuffix("\n")


def mended_value(value: object, schema: Schema) -> object:
    """A value that somebody else has read from a text, as this schema would have it."""
    kinds = schema.kinds
    if _kind(value) in kinds or _fitting(value, kinds) is not _NONE:
        return value
    if isinstance(value, str):
        return read_value(value, schema, literal=True)
    return encode(value).decode() if "string" in kinds else value


# Into a text


def write_value(value: object, schema: Schema) -> str:
    """A text that stands between tags and that is read as this value."""
    json = encode(value).decode()
    forms = (value, json) if isinstance(value, str) else (json,)
    for text in forms:
        if "<" not in text and trimmed(text) == text and same(read_value(text, schema), value):
            return text
        if same(read_value(text, schema, literal=True), value):
            return wrapped(text)
    return wrapped(json) if "<" in json else json  # it fits its schema in no form


def wrapped(text: str) -> str:
    """The text as CDATA, which holds everything but its own end, so that this is cut in two."""
    return "<![CDATA[" + text.replace("]]>", "]]]]><![CDATA[>") + "]]>"


def unwrapped(text: str) -> str:
    """What stands in one CDATA section, or in several that follow each other."""
    return text.removeprefix("<![CDATA[").removesuffix("]]>").replace("]]><![CDATA[", "")
