"""What chat.qwen.ai's errors mean. Many come with status 200, as JSON or as a web page where a stream was asked for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from provider_router.plugin import ErrorBody, Failure, decode

CHAT_GONE: Final = "chat_gone"
"""The code of an error that says that the chat, or the message that was to be answered, is not there any more."""

CHAT_LOCKED: Final = "chat_in_progress"
"""The code of an error that says that the chat is still busy with another answer."""

_HOUR: Final = 3600.0
_LOCKED_FOR: Final = 2.0  # seconds that a chat in progress needs after it was told to stop

# Alibaba's web application firewall: a page with a puzzle, or JSON that leads to one. In JSON, what the site itself
# says of a text may name a captcha, too.
_WALL_PAGE: Final = re.compile(rb"aliyun_waf|AWSC|baxia|_____tmd_____|captcha|FAIL_SYS_USER_VALIDATE", re.I)
_WALL_JSON: Final = re.compile(rb"_____tmd_____|FAIL_SYS_USER_VALIDATE|RGV587_ERROR")
_WALL_MESSAGE: Final = (
    "the site's firewall asks for proof that a person is there. Open the site in your browser, solve its puzzle, "
    "and renew the options token and cookies from there"
)
_EXPIRED_MESSAGE: Final = "the login is not valid any more: renew the options token and cookies from your browser"

_CODES: Final[Mapping[str, Failure]] = {
    "ratelimited": Failure.QUOTA,
    "too_many_requests": Failure.RATE_LIMIT,
    "contextlengthexceeded": Failure.CONTEXT_LENGTH,
    "context_length_exceeded": Failure.CONTEXT_LENGTH,
    "unauthorized": Failure.AUTH,
    "tokenexpired": Failure.AUTH,
    "token_expired": Failure.AUTH,
    "forbidden": Failure.AUTH,
    "model_not_found": Failure.MODEL_UNAVAILABLE,
    "data_inspection_failed": Failure.CONTENT_POLICY,
    "datainspectionfailed": Failure.CONTENT_POLICY,
}
# Codes that say no more than a status, and stand for one where the status says nothing.
_STATUSES: Final[Mapping[str, int]] = {"bad_request": 400, "not_found": 404, "internal_error": 500}
# Exact texts, which stand beside codes that say less.
_EXPIRED: Final = re.compile(r"Token has expired", re.I)
_LOCKED: Final = re.compile(r"The chat is in progress", re.I)
_GONE: Final = re.compile(r"\b(chat|parent|message)\b.{0,80}\b(is not exist|does not exist|not found)", re.I)


@dataclass(frozen=True, kw_only=True, slots=True)
class SiteError:
    """An error of the site.

    Attributes:
        failure: its class, or None where only the status tells.
        body: what it says, for people.
        retry_after: seconds, if it says any.
    """

    failure: Failure | None
    body: ErrorBody
    retry_after: float | None = None

    @classmethod
    def read(cls, body: object) -> SiteError | None:
        """The error in a decoded body, or None where there is none in it.

        Forms: `{"success": false, "data": {"code", "details", "num"}}`, the same flat, `{"error": {…}}` in a stream,
        `{"ret": ["FAIL_SYS_USER_VALIDATE", …]}` of the firewall.
        """
        if not isinstance(body, Mapping):
            return None
        if isinstance(body.get("ret"), list) and any("::" in str(one) or "FAIL" in str(one) for one in body["ret"]):
            return cls.wall()
        error = body.get("error")
        if isinstance(error, Mapping):
            return cls._of(error)
        if error:
            return cls._of({"details": str(error)})
        if body.get("success") is False:
            data = body.get("data")
            return cls._of({**body, **data} if isinstance(data, Mapping) else body)
        if "code" in body and not body.get("data") and not body.get("choices") and body.get("success") is not True:
            return cls._of(body)
        return None

    @classmethod
    def parse(cls, data: bytes) -> SiteError:
        """The error in a body as it came, which is known to be one."""
        try:
            said = decode(data)
        except ValueError:
            return cls.wall() if _WALL_PAGE.search(data[:65536]) else cls(failure=None, body=ErrorBody.parse(data))
        if _WALL_JSON.search(data[:65536]):
            return cls.wall()
        return cls.read(said) or cls(failure=None, body=ErrorBody.parse(data))

    @classmethod
    def wall(cls) -> SiteError:
        return cls(failure=Failure.AUTH, body=ErrorBody(message=_WALL_MESSAGE, code="captcha"))

    @classmethod
    def _of(cls, fields: Mapping[str, Any]) -> SiteError:
        code = str(fields.get("code") or "")
        words = next((fields[name] for name in ("details", "detail", "message", "msg") if fields.get(name)), code)
        message = words if isinstance(words, str) else str(words)
        failure = Failure.AUTH if _EXPIRED.search(message) else _CODES.get(code.lower())
        if _GONE.search(message):
            return cls(failure=Failure.SERVER, body=ErrorBody(message=message, code=CHAT_GONE))
        if _LOCKED.search(message):
            body = ErrorBody(message=message, code=CHAT_LOCKED)
            return cls(failure=Failure.RATE_LIMIT, body=body, retry_after=_LOCKED_FOR)
        if failure is Failure.AUTH:
            message = f"{message}: {_EXPIRED_MESSAGE}"
        return cls(
            failure=failure,
            body=ErrorBody(message=message or "no text", code=code or None, status=_status(code)),
            retry_after=_hours(fields.get("num")) if failure is Failure.QUOTA else None,
        )


def _hours(number: object) -> float | None:
    if isinstance(number, bool) or not isinstance(number, int | float) or not 0 < number < 10_000:
        return None
    return number * _HOUR


def _status(code: str) -> int | None:
    """The status for which a code stands: some are its number."""
    return int(code) if re.fullmatch(r"[45]\d\d", code, re.ASCII) else _STATUSES.get(code.lower())
