"""Guards: what makes an answer doubtful though it looks like a success. Pure."""

from __future__ import annotations

from provider_router.chat import Capability, ChatRequest, ChatResponse
from provider_router.chat import decode as decode_json

_NOISE = 64  # tokens; chat templates and counting differ by less
_IMAGE = 16  # tokens that the smallest image costs anywhere


def doubts(
    request: ChatRequest, response: ChatResponse, *, needs: frozenset[Capability], prompt_floor: int
) -> tuple[str, ...]:
    """What is doubtful about an answer, each as a sentence; nothing for most.

    Args:
        request: as it was sent to the provider, with the model as the provider calls it.
        response: the whole answer.
        needs: what the request could not do without.
        prompt_floor: the least number of tokens that the text of its prompt can have.
    """
    found = [doubt] if (doubt := doubt_of_model(request, response.model)) else []
    telling = prompt_floor > _NOISE or Capability.VISION in needs
    usage = response.usage if telling else None
    if usage is not None and usage.prompt_tokens and not usage.estimated:
        if usage.prompt_tokens + _NOISE < prompt_floor:
            found.append(
                f"the prompt seems to have been cut: the backend counted {usage.prompt_tokens} tokens, "
                f"and it has at least {prompt_floor}"
            )
        elif Capability.VISION in needs and usage.prompt_tokens < prompt_floor + _IMAGE:
            found.append("an image seems to have been dropped: the backend counted hardly any tokens")
    asked = request.raw.get("n")
    choices = response.raw.get("choices") or ()
    if isinstance(asked, int) and len(choices) < asked:
        found.append(f"n={asked} was dropped: there {'is' if len(choices) == 1 else 'are'} {len(choices)} of them")
    if request.raw.get("tool_choice") == "required" and request.tools and not response.tool_calls:
        found.append("tool_choice=required was dropped: the answer calls no tool")
    if Capability.JSON_SCHEMA in needs and response.finish_reason == "stop" and not _is_json(response.text):
        found.append("response_format was dropped: the answer is no JSON")
    return tuple(found)


def doubt_of_model(request: ChatRequest, served: str | None) -> str:
    """That another model answers than the one that was asked for, as a sentence, or ""."""
    asked_for = request.model
    if asked_for == served or not asked_for or not served or _same_model(asked_for, served):
        return ""
    return f"the answer is of the model {served}, asked for was {asked_for}"


def _same_model(asked: str, served: str) -> bool:
    """`gpt-4o` is served as `gpt-4o-2024-08-06`, `qwen/qwen3-8b` as `qwen3-8b`, a file as its path."""
    first, second = _bare(asked), _bare(served)
    return first in second or second in first


def _bare(name: str) -> str:
    return name.replace("\\", "/").rstrip("/").rpartition("/")[2].lower().removesuffix(".gguf")


def _is_json(text: str) -> bool:
    try:
        decode_json(text)
    except ValueError:
        return False
    return True
