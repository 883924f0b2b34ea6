"""Scripted backends, one a dialect; each is a server on loopback that behaves well until it is told otherwise."""

from provider_router.testing.fakes.chat_qwen import ChatQwenFake
from provider_router.testing.fakes.fake import Fake, LinesFake
from provider_router.testing.fakes.lm_studio import LMStudioFake
from provider_router.testing.fakes.openai import OpenAIFake
from provider_router.testing.fakes.qwen_proxy import QwenProxyFake

__all__ = ["ChatQwenFake", "Fake", "LMStudioFake", "LinesFake", "OpenAIFake", "QwenProxyFake"]
