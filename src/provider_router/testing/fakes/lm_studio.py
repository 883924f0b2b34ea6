"""LMStudioFake: LM Studio's server, which speaks OpenAI's dialect, has lists of its own, and errors of its own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar

from provider_router.backends import Reply, Request, Step
from provider_router.backends.wire import encode, response
from provider_router.testing.fakes.openai import OpenAIFake


class LMStudioFake(OpenAIFake):
    """LM Studio 0.4: `/v1` as OpenAI has it, `/api/v0/models` and `/api/v1/models`; an unknown path is a 200."""

    dialect: ClassVar[str] = "lm-studio"

    def site(self) -> Mapping[tuple[str, str], Reply]:
        lists = {("GET", path): self.listing for path in ("/api/v0/models", "/api/v1/models")}
        return {**super().site(), **lists}

    def refuses(self, request: Request) -> Iterable[Step]:
        error = {"type": "invalid_request", "code": "invalid_api_key", "message": "Incorrect API key provided."}
        return [response(encode({"error": error}), status=401)]

    def unknown(self, request: Request) -> Iterable[Step]:
        error = f"Unexpected endpoint or method. ({request.method} {request.path})"
        return [response(encode({"error": error}))]
