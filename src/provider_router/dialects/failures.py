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

from attrs import evolve, frozen

from provider_router.chat import decode
from provider_router.errors import Failure, ProviderError, error_class

MESSAGE_LENGTH = 500  # of an upstream text, which may be a whole web page


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

        Known forms: `error` as an object or a string, `detail` as a string or a list (FastAPI), `message` with
        `code` (DashScope), integer codes, which are HTTP statuses.
        """
        if not isinstance(body, Mapping):
            return None
        error = body.get("error")
        if isinstance(error, str) and error:
            return cls(message=error, code=_word(body.get("code")), status=_status(body.get("code")))
        if isinstance(error, Mapping) and error:
            inner = error.get("message") or error.get("details") or error.get("detail") or error.get("code") or "error"
            return cls(
                message=str(inner),
                code=_word(error.get("code")),
                type=_word(error.get("type")),
                param=_word(error.get("param")),
                status=_status(error.get("code")) or _status(error.get("status")),
            )
        if "choices" in body or "data" in body:
            return None
        if detail := body.get("detail"):
            return cls(message=_detail_text(detail), code=_word(body.get("code")), status=_status(body.get("code")))
        if isinstance(message := body.get("message"), str) and ("code" in body or body.get("object") == "error"):
            code = body.get("code")
            return cls(message=message, code=_word(code), type=_word(body.get("type")), status=_status(code))
        return None

    @classmethod
    def parse(cls, body: bytes) -> ErrorBody:
        """The error in a body as it came; where it is no JSON, its text is the message."""
        try:
            found = cls.read(decode(body))
        except ValueError:
            found = None
        if found is not None:
            return evolve(found, message=shortened(found.message))
        text = body.decode("utf-8", "replace")
        if re.search(r"<(!doctype|html|body)", text, re.IGNORECASE):
            title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
            text = f"a web page ({title[1].strip()})" if title else "a web page"
        return cls(message=shortened(text.strip()) or "no text")


def shortened(text: str) -> str:
    """A text for a message: one line, of bounded length."""
    line = " ".join(text.split())
    return line if len(line) <= MESSAGE_LENGTH else line[: MESSAGE_LENGTH - 1] + "…"


def _word(value: object) -> str | None:
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) and value != "" else None


def _status(value: object) -> int | None:
    if isinstance(value, str) and value.isdigit():
        value = int(value)
    return value if isinstance(value, int) and 400 <= value <= 599 else None


def _detail_text(detail: object) -> str:
    if isinstance(detail, list):
        return "; ".join(
            f"{'.'.join(map(str, item.get('loc', ())))}: {item.get('msg', item)}"
            if isinstance(item, Mapping)
            else str(item)
            for item in detail
        )
    return str(detail)


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
    for word in (error.code, error.type):
        failure = _CODES.get(word.lower()) if word else None
        if failure is Failure.RATE_LIMIT and status == 402:
            continue
        if failure is not None:
            return failure
    if status < 400:
        if error.status is None:
            return Failure.MALFORMED
        status = error.status
    if status == 402:
        return Failure.QUOTA
    if status == 429 or (status == 503 and retry_after is not None):
        return Failure.RATE_LIMIT
    if status in (401, 403):
        return Failure.AUTH
    if status in (404, 410) and (error.param == "model" or (model is not None and model in error.message)):
        return Failure.MODEL_UNAVAILABLE
    if status in (405, 415, 501):
        return Failure.CAPABILITY
    if status in _SERVER_STATUSES or status >= 500:
        return Failure.SERVER
    return Failure.BAD_REQUEST


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
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())


def _number(text: str | None) -> float | None:
    if text is None or not re.fullmatch(r"\s*\d+(\.\d+)?\s*", text):
        return None
    number = float(text)
    return number if math.isfinite(number) else None


def error_of(
    status: int, body: ErrorBody, *, who: str, model: str | None = None, retry_after: float | None = None
) -> ProviderError:
    """The exception for an error answer.

    Args:
        status: HTTP status.
        body: what it says.
        who: the provider's id, for the message.
        model: as the provider calls it.
        retry_after: seconds, if the answer said any.
    """
    failure = classify(status, body, model=model, retry_after=retry_after)
    shown = body.status if status < 400 and body.status else status
    where = f"answered {shown}" if shown >= 400 else "answered with an error"
    return error_class(failure)(
        f"{who} {where}: {shortened(body.message)}",
        provider=who,
        model=model,
        status=shown if shown >= 400 else None,
        code=body.code or body.type,
        retry_after=retry_after,
        detail=f"HTTP {shown}" if shown >= 400 else "an error in its answer",
    )
