"""LM Studio's address: its OpenAI-compatible API lies below `/v1`, whatever else people write."""

from __future__ import annotations

import functools
import logging
import re

EXAMPLE = "http://localhost:1234/v1"

# Pasted from elsewhere: LM Studio's own API, or the path of one call.
_ENDING = re.compile(r"(/api)?(/v\d+)?(/(chat|chat/completions|completions|embeddings|responses|models))?/*\Z")
_ADDRESS = re.compile(r"(?P<host>https?://[^/?#@\s]+)(?P<path>/[^?#\s]*)?\Z", re.IGNORECASE)

log = logging.getLogger("provider_router")


def with_version(value: object) -> object:
    """The address with `/v1` at its end; what is no address is left to the option's own check.

    `http://localhost:1234`, `…/api/v0` and `…/v1/chat/completions` become `http://localhost:1234/v1`, and the log
    says so. A path that says nothing of LM Studio stays: it may be a proxy's.
    """
    return _with_version(value.strip()) if isinstance(value, str) else value


@functools.cache  # the log says it once for each address, however often a configuration is read
def _with_version(text: str) -> str:
    mended = mended_address(text)
    if mended not in (text, text.rstrip("/")):
        log.warning("baseURL %s is no address of LM Studio's OpenAI-compatible API: taken as %s", text, mended)
    return mended


def mended_address(text: str) -> str:
    """The same, without a word: for looking at an address behind which something else may be."""
    match = _ADDRESS.match(text)
    if match is None:
        return text
    path = (match["path"] or "").rstrip("/")
    ending = _ENDING.search(path)
    assert ending is not None  # it matches nothing at all, too
    if ending[0] or not path:
        path = path[: ending.start()] + "/v1"
    return match["host"] + path
