"""Many configured providers: a request is to pay for its candidates, not for all that there are."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.calls import repeated
from benchmarks.measure import Effort, Row, Run, compare
from benchmarks.upstream import BODY, TEXT
from provider_router import Admin, AsyncRouter

FEW = 10
# So many of them serve the model that is asked for, whatever their number; the others serve one of so many others.
SERVING = 2
OTHER_MODELS = 50


def rows(base_url: str, effort: Effort) -> Iterator[Row]:
    """A call among few and among many, all at `base_url`."""
    many = effort.providers
    yield from compare(
        "a call among configured providers",
        {f"{count:,} providers": among(count, base_url) for count in (FEW, many)},
        effort=effort,
        goals={f"{many:,} providers": 1.2},
    )


@contextlib.contextmanager
def among(count: int, base_url: str) -> Iterator[Run]:
    with tempfile.TemporaryDirectory() as folder:
        database = Path(folder) / "provider-router.db"
        with Admin(database) as admin, admin.atomic():
            for model in ("small-model", *(f"model-{number}" for number in range(OTHER_MODELS))):
                admin.models.add(model)
            for number in range(count):
                backend = f"backend-{number}"
                admin.providers.add(backend, type="openai-compatible", config={"baseURL": base_url})
                served = number * SERVING // count != (number - 1) * SERVING // count
                admin.links.link(backend, "small-model" if served else f"model-{number % OTHER_MODELS}")
        router = AsyncRouter(database)

        async def once() -> None:
            answer = await router.chat(BODY)
            assert (answer.text, len(answer.attempts)) == (TEXT, 1)

        with repeated(once, router.aclose) as run:
            yield run
