"""From a backend's error answer to a failure class: error bodies in every form seen, Retry-After in every form.

The order is the contract's: first the error's code or type, then the status. Never free text alone; where a text
decides, it stands beside a status, and a provider type's own classifier (`Provider.read_error`) comes before this.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from attrs import evolve, frozen

from provider_router.chat import decode
from provider_router.errors import Failure, ProviderError, error_class

MESSAGE_LENGTH = 500  # of an upstream text, which may be a whole web page
_READ = 8192  # of such a text, where it is searched
_SILENT = "no text"


@frozen(kw_only=True)
class ErrorBody:
    """An error as a backend words it: `{"error": {"message", "type", "code", "param"}}`, or one of its cousins."""

    message: str
    code: str | None = None
    type: str | None = None
    param: str | None = None
    status: int | None = None

    @classmethod
    def read(cls, body: object) -> ErrorBody | None:
        """The error in a decoded body, or None if there is none in it.

        Known forms: `error` as an object or a string, `detail` as a string, a list or an object (FastAPI), `message`
        with `code` (DashScope), `statusCode` (Azure's gateway) or `object: error` (older vLLM, Mistral), any of them
        in a list (Gemini). Codes that are numbers are HTTP statuses.
        """
        if isinstance(body, list) and body:
            body = body[0]
        if not isinstance(body, Mapping):
            return None
        if error := body.get("error"):
            if isinstance(error, Mapping):
                return cls._of(error, error)
            # A word beside which the message stands, or the message itself.
            return cls._of(body, error if isinstance(error, str) else body)
        if body.get("choices") or body.get("data"):
            return None
        if detail := body.get("detail"):
            inner = detail.get("error") or detail if isinstance(detail, Mapping) else detail
            return cls._of(inner if isinstance(inner, Mapping) else body, inner)
        if body.get("message") and ("code" in body or "statusCode" in body or body.get("object") == "error"):
            return cls._of(body, body)
        return None

    @classmethod
    def _of(cls, fields: Mapping[str, Any], message: object) -> ErrorBody:
        code = fields.get("code")
        kind = fields.get("type") or fields.get("error_type")
        metadata = fields.get("metadata")
        if not kind and isinstance(metadata, Mapping) and "flagged_input" in metadata:
            kind = "content_policy"  # OpenRouter's moderation answers 403 and says so only here
        return cls(
            message=_text(message),
            code=_word(code),
            type=_word(kind),
            param=_word(fields.get("param")),
            status=_status(code) or _status(fields.get("status")) or _status(fields.get("statusCode")),
        )

    @classmethod
    def parse(cls, body: bytes) -> ErrorBody:
        """The error in a body as it came; where it is no JSON, its text is the message."""
        try:
            found = cls.read(decode(body))
        except ValueError:
            found = None
        if found is not None:
            return evolve(found, message=shortened(found.message) or _SILENT)
        text = body[:_READ].decode("utf-8", "replace")
        if re.search(r"<(!doctype|html|body)", text, re.IGNORECASE):
            title = re.search(r"<title[^>]{0,200}>([^<]*)<", text, re.IGNORECASE)
            text = f"a web page ({title[1].strip()})" if title else "a web page"
        return cls(message=shortened(text) or _SILENT)


def shortened(text: str) -> str:
    """A text for a message: one line, of bounded length, without what would steer a terminal."""
    line = " ".join(text[:_READ].split())
    line = line if len(line) <= MESSAGE_LENGTH else line[: MESSAGE_LENGTH - 1] + "…"
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in line)


def _word(value: object) -> str | None:
    return (
        shortened(str(value)) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None
    )


def _status(value: object) -> int | None:
    if isinstance(value, str) and re.fullmatch(r"[45]\d\d", value, re.ASCII):
        value = int(value)
    return value if isinstance(value, int) and 400 <= value <= 599 else None


def _text(value: object, depth: int = 4) -> str:
    """The words of a message, in whatever it is wrapped; what is wrapped deeper is not looked for."""
    if isinstance(value, str):
        return value
    if not depth:
        return "error"
    if isinstance(value, list):
        return "; ".join(_text(item, depth - 1) for item in value)
    if not isinstance(value, Mapping):
        return str(value)
    if msg := value.get("msg"):  # FastAPI: {"loc": ["body", "messages"], "msg": "Field required"}
        loc = value.get("loc")
        place = ".".join(str(step) for step in loc if isinstance(step, str | int)) if isinstance(loc, list) else ""
        return f"{place}: {_text(msg, depth - 1)}" if place else _text(msg, depth - 1)
    inner = next(
        (found for name in ("message", "details", "detail", "code", "type") if (found := value.get(name))), "error"
    )
    return _text(inner, depth - 1)


_CODES: dict[str, Failure] = {
    code: failure
    for failure, codes in {
        Failure.CONTEXT_LENGTH: (
            "context_length_exceeded contextlengthexceeded context_length_error exceed_context_size_error "
            "context_window_exceeded model_max_prompt_tokens_exceeded"
        ),
        Failure.QUOTA: (
            "insufficient_quota billing_hard_limit_reached billing_not_active billing_error quota_exceeded "
            "insufficient_balance insufficient_credits arrearage payment_required spend_limit_exceeded budget_exceeded "
            "allocationquota.freetieronly"
        ),
        Failure.RATE_LIMIT: (
            "rate_limit_exceeded rate_limit_error rate_limit_reached rate_limited ratelimited too_many_requests "
            "throttling throttling.ratequota throttling.burstrate throttling.allocationquota throttled "
            "requests_limit_exceeded tokens_limit_exceeded"
        ),
        Failure.AUTH: (
            "invalid_api_key invalidapikey authentication_error invalid_authentication unauthorized unauthenticated "
            "permission_error permission_denied access_denied accessdenied missing_credentials token_expired "
            "account_deactivated"
        ),
        Failure.MODEL_UNAVAILABLE: (
            "model_not_found modelnotfound model_not_available model_unavailable model_not_loaded no_model_loaded "
            "deployment_not_found deploymentnotfound model_not_supported"
        ),
        Failure.CONTENT_POLICY: (
            "content_filter content_policy_violation content_policy datainspectionfailed data_inspection_failed "
            "responsible_ai_policy_violation responsibleaipolicyviolation moderation_blocked safety"
        ),
        Failure.CAPABILITY: (
            "unsupported_parameter unsupported_value unsupported_modality unsupported_endpoint unsupported_media_type "
            "not_supported_error unsupported_feature unsupported"
        ),
        Failure.BUSY: "model_loading loading_model queue_full unavailable_error model_is_loading server_busy",
        Failure.SERVER: (
            "server_error internal_error internal_server_error internalerror overloaded_error overloaded api_error "
            "service_unavailable bad_gateway gateway_timeout stream_error qwen_api_error"
        ),
    }.items()
    for code in codes.split()
}
_SERVER_STATUSES = frozenset({408, 409, 425, 500, 502, 503, 504, *range(520, 530)})


def classify(status: int, error: ErrorBody, *, model: str | None = None, retry_after: float | None = None) -> Failure:
    """The failure class of an error answer.

    Args:
        status: HTTP status; 200 for an error inside a good answer, where only an embedded code can tell more.
        error: what the body says.
        model: the model that was asked for, as the provider calls it.
        retry_after: seconds, if the answer said any.
    """
    status = status if status >= 400 else error.status or status
    for word in (error.code, error.type):
        failure = _CODES.get(word.lower()) if word else None
        if failure is Failure.RATE_LIMIT and status == 402:
            continue
        if failure is Failure.SERVER and status > 400:
            continue  # `api_error` and its like say less than a status
        if failure is not None:
            return failure
    if status < 400:
        return Failure.MALFORMED
    if status == 402:
        return Failure.QUOTA
    if status == 429 or (status == 503 and retry_after is not None):
        return Failure.RATE_LIMIT
    if status in (401, 403):
        return Failure.AUTH
    if status in (404, 410) and (error.param == "model" or (model and _names(error.message, model))):
        return Failure.MODEL_UNAVAILABLE
    if status in (405, 415, 501):
        return Failure.CAPABILITY
    if status in _SERVER_STATUSES or status >= 500:
        return Failure.SERVER
    return Failure.BAD_REQUEST


def _names(message: str, model: str) -> bool:
    """Whether a message names the model: as a word of its own, so that the model `a` is not found in `a path`."""
    return re.search(rf"(?<![\w.-]){re.escape(model)}(?![\w-])", message) is not None


def retry_after(headers: Mapping[str, str], *, now: datetime | None = None) -> float | None:
    """Seconds from `retry-after-ms` or `retry-after` (integer, decimal or HTTP date), or None.

    Args:
        headers: with lower-case names, or a case-insensitive mapping.
        now: for HTTP dates; the present time unless given.
    """
    if (seconds := _number(headers.get("retry-after-ms"))) is not None:
        return seconds / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    if (seconds := _number(value)) is not None:
        return seconds
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\s*\d+(\.\d+)?\s*", text):
        return None
    number = float(text.strip())  # float() knows fewer spaces than str
    return number if math.isfinite(number) else None


def error_of(
    status: int,
    body: ErrorBody,
    *,
    who: str,
    model: str | None = None,
    retry_after: float | None = None,
    failure: Failure | None = None,
) -> ProviderError:
    """The exception for an error answer.

    Args:
        status: HTTP status.
        body: what it says.
        who: the provider's id, for the message.
        model: as the provider calls it.
        retry_after: seconds, if the answer said any.
        failure: the class, where the provider type knows better than `classify`.
    """
    failure = failure or classify(status, body, model=model, retry_after=retry_after)
    shown = body.status if status < 400 and body.status else status
    bad = shown >= 300
    where = f"answered {shown}" if bad else "answered with an error"
    return error_class(failure)(
        f"{who} {where}: {shortened(body.message) or _SILENT}",
        provider=who,
        model=model,
        status=shown if bad else None,
        code=body.code or body.type,
        retry_after=retry_after,
        detail=f"HTTP {shown}" if bad else "an error in its answer",
    )
