"""OpenAIFake: OpenAI's chat completions, completions, embeddings and models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from provider_router.backends import Backend, Reply
from provider_router.testing.fakes.fake import Fake


class OpenAIFake(Fake):
    """A backend that speaks as https://platform.openai.com/docs/api-reference says."""

    base_path: ClassVar[str] = "/v1"

    def site(self) -> Mapping[tuple[str, str], Reply]:
        return Backend.site(self)
