"""The names for authors of provider types. A plugin imports from here and from nowhere else in this package."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from provider_router.chat import (
    Capability,
    ChatChunk,
    ChatRequest,
    ChatResponse,
    ToolCall,
    Usage,
    content_text,
    decode,
    encode,
)
from provider_router.dialects.failures import ErrorBody, error_of, retry_after
from provider_router.dialects.openai_chat import assemble
from provider_router.dialects.refusals import refuse_format, refuse_several
from provider_router.dialects.sse import COMMENT
from provider_router.dialects.xml_tools import XMLToolParser, XMLToolReader, XMLTools, folded
from provider_router.errors import Failure, ProviderError, error_class
from provider_router.limits import FIRST_TOKEN_LOCAL, Limits
from provider_router.providers.config import option
from provider_router.providers.hookspecs import hookimpl
from provider_router.providers.provider import CONTRACT, Checked, ModelInfo, Provider
from provider_router.providers.secrets import Secret

if TYPE_CHECKING:
    from provider_router.providers.http import HTTPProvider
    from provider_router.providers.openai_compatible import OpenAICompatibleProvider

__all__ = [
    "COMMENT",
    "CONTRACT",
    "FIRST_TOKEN_LOCAL",
    "Capability",
    "ChatChunk",
    "ChatRequest",
    "ChatResponse",
    "Checked",
    "ErrorBody",
    "Failure",
    "HTTPProvider",
    "Limits",
    "ModelInfo",
    "OpenAICompatibleProvider",
    "Provider",
    "ProviderError",
    "Secret",
    "ToolCall",
    "Usage",
    "XMLToolParser",
    "XMLToolReader",
    "XMLTools",
    "assemble",
    "content_text",
    "decode",
    "encode",
    "error_class",
    "error_of",
    "folded",
    "hookimpl",
    "option",
    "refuse_format",
    "refuse_several",
    "retry_after",
]

_LATE = {  # these import httpx
    "HTTPProvider": "provider_router.providers.http",
    "OpenAICompatibleProvider": "provider_router.providers.openai_compatible",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LATE[name]), name)
    globals()[name] = value
    return value
