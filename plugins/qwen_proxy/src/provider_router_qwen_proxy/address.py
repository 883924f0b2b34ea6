"""The proxy's address: its API lies below `/v1`, and both forms are in old configurations."""

from __future__ import annotations

import re

EXAMPLE = "http://localhost:3000"

_ADDRESS = re.compile(r"(?P<host>https?://[^/?#@\s]+)(?P<path>/[^?#\s]*)?\Z", re.IGNORECASE)
_ENDING = re.compile(r"(/v1)?(/(chat/completions|completions|models)|/health(/detailed)?)?/*\Z")


def with_version(value: object) -> object:
    """The address with `/v1` at its end; what is no address is left to the option's own check.

    `http://localhost:3000`, `…/v1` and `…/v1/chat/completions` are all `http://localhost:3000/v1`.
    """
    match = _ADDRESS.match(value.strip()) if isinstance(value, str) else None
    if match is None:
        return value
    path = (match["path"] or "").rstrip("/")
    return match["host"] + _ENDING.sub("", path, count=1).rstrip("/") + "/v1"
