"""JSON in and out, by the standard parser: it takes the lone surrogates, NaNs and BOMs that backends send."""

from __future__ import annotations

import json
from typing import Any

# json.dumps makes an encoder for every call whose options are not its own.
_scan = json.JSONDecoder().scan_once  # type: ignore[attr-defined]
_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def encode(body: object) -> bytes:
    """JSON as UTF-8. A lone surrogate (half an emoji, split across deltas) goes out escaped, as it came in.

    Raises:
        ValueError: for NaN and infinities, which are no JSON, and for what JSON cannot hold.
    """
    try:
        try:
            return _ENCODER.encode(body).encode()
        except UnicodeEncodeError:
            return json.dumps(body, allow_nan=False, separators=(",", ":")).encode()
    except (TypeError, RecursionError) as error:
        raise ValueError(f"not JSON: {error}") from None


def decode(data: bytes | str) -> Any:
    """Whatever JSON says.

    Raises:
        ValueError: for anything that is no JSON, nesting too deep included.
    """
    try:
        if isinstance(data, bytes) and data[:1] == b"{":  # nearly all that comes, for less than json.loads takes
            try:
                text = data.decode("utf-8", "surrogatepass")
                body, end = _scan(text, 0)
                if end == len(text):
                    return body
            except (StopIteration, ValueError):
                pass
        return json.loads(data.removeprefix("\ufeff") if isinstance(data, str) else data)
    except RecursionError:
        raise ValueError("JSON nested too deeply") from None
