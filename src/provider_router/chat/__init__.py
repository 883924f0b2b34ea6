"""Chat requests, answers and chunks: typed views of the wire JSON.

What we read is typed, what we do not read is carried: every view keeps the body as it came (`.raw`), so that
fields unknown here survive every hop. The wire JSON is OpenAI's chat completions
(https://platform.openai.com/docs/api-reference/chat).
"""

from provider_router.chat.answer import ToolCall, Usage, content_text, usage_to_wire
from provider_router.chat.chunk import ChatChunk
from provider_router.chat.json_text import decode, encode
from provider_router.chat.messages import Message, Prompt, assistant, image, system, tool, user
from provider_router.chat.request import CALL_OPTIONS, UNWATCHED, Capability, ChatFields, ChatRequest, Progress
from provider_router.chat.response import ChatResponse

__all__ = [
    "CALL_OPTIONS",
    "UNWATCHED",
    "Capability",
    "ChatChunk",
    "ChatFields",
    "ChatRequest",
    "ChatResponse",
    "Message",
    "Progress",
    "Prompt",
    "ToolCall",
    "Usage",
    "assistant",
    "content_text",
    "decode",
    "encode",
    "image",
    "system",
    "tool",
    "usage_to_wire",
    "user",
]
