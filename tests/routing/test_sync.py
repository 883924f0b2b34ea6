"""Router, the blocking face: threads, forks, a running event loop, a session without `with`, Ctrl-C."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import anyio
import pytest

from provider_router import AsyncRouter, NoCandidates, ProviderError, Router, StreamInterrupted
from provider_router.backends import Backend, answers, broken, silent, status

LONG = " ".join(f"word{number}" for number in range(300))


def test_it_answers_streams_plans_and_checks_like_the_other_face(quick: Any) -> None:
    with Backend(answers("Hello you")) as one, Router(providers=[quick("a", base_url=one.base_url)]) as router:
        answer = router.chat("hi")
        with router.stream("hi") as stream:
            text = "".join(chunk.text for chunk in stream)
        assert (str(answer), text, stream.text, stream.response.text) == ("Hello you",) * 4
        assert (stream.provider, stream.model) == ("a", "small-model")
        assert (stream.skipped, stream.usage) == ((), None)
        assert stream.trail.startswith("a: ok")
        assert [step.provider for step in router.plan()] == ["a"]
        assert router.check("a").ok
        assert [state.state for state in router.health()] == ["ready"]
        assert [model.id for model in router.models("a")] == ["small-model"]
        assert router.embed({"model": "e", "input": "x"})["data"]
        assert router.complete({"model": "m", "prompt": "x"})["choices"]


def test_a_failure_has_its_own_class_and_the_attempts(quick: Any) -> None:
    with Backend(status(503)) as one, Router(providers=[quick("a", base_url=one.base_url)]) as router:
        with pytest.raises(ProviderError) as caught:
            router.chat("hi")
    assert [attempt.status for attempt in caught.value.attempts] == [503, 503, 503]


def test_what_came_before_a_cut_is_handed_out_before_the_error(quick: Any) -> None:
    with Backend(broken(after=4)) as one, Router(providers=[quick("a", base_url=one.base_url)]) as router:
        seen = ""
        with pytest.raises(StreamInterrupted) as caught, router.stream("hi") as stream:
            for chunk in stream:
                seen += chunk.text
    assert seen
    assert caught.value.text == seen


def test_leaving_a_stream_early_breaks_it_off_upstream(quick: Any) -> None:
    with Backend(answers(LONG, pace=0.02)) as one, Router(providers=[quick("a", base_url=one.base_url)]) as router:
        with router.stream("hi") as stream:
            for chunk in stream:
                if chunk.text:
                    break
        assert one.wait_until(lambda backend: backend.hang_ups == 1)


def test_many_threads_share_one_router(quick: Any) -> None:
    with Backend(answers("Hello")) as one, Router(providers=[quick("a", base_url=one.base_url, timeout=60)]) as router:
        texts: list[str] = []
        threads = [threading.Thread(target=lambda: texts.append(router.chat("hi").text)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert texts == ["Hello"] * 16


async def test_it_works_inside_a_running_event_loop(quick: Any) -> None:
    with Backend(answers("Hello")) as one, Router(providers=[quick("a", base_url=one.base_url)]) as router:
        assert router.chat("hi").text == "Hello"
        assert await anyio.to_thread.run_sync(lambda: router.chat("hi").text) == "Hello"


def test_without_with_it_is_closed_when_nobody_holds_it_any_more(quick: Any) -> None:
    before = threading.active_count()
    with Backend(answers("Hello")) as one:
        running = threading.active_count()
        router = Router(providers=[quick("a", base_url=one.base_url)])
        assert router.chat("hi").text == "Hello"
        assert threading.active_count() > running
        del router
        gc.collect()
        assert one.wait_until(lambda backend: backend.open_connections == 0)
    until = time.monotonic() + 20
    while threading.active_count() > before + 1:  # its thread ends a moment after its connections
        assert time.monotonic() < until
        threading.Event().wait(0.01)


def test_after_close_the_next_use_starts_anew(quick: Any) -> None:
    with Backend(answers("Hello")) as one:
        router = Router(providers=[quick("a", base_url=one.base_url)])
        assert router.chat("hi").text == "Hello"
        router.close()
        router.close()
        assert router.chat("hi").text == "Hello"
        router.close()


def test_a_stream_may_be_left_when_its_router_is_closed_already(quick: Any) -> None:
    with Backend(answers("Why is the sky blue?", pace=0.01)) as one:
        router = Router(providers=[quick("a", base_url=one.base_url)])
        with router.stream("hi") as stream:
            next(stream)
            router.close()
            assert one.wait_closed()
        with pytest.raises(RuntimeError, match="was closed"):
            list(stream)


def test_wrong_arguments_are_told_when_the_router_is_made(quick: Any) -> None:
    twice = [quick("a", base_url="http://localhost:1"), quick("a", base_url="http://localhost:1")]
    with pytest.raises(Exception, match="two providers are called"):
        Router(providers=twice)


SCRIPT = """
    import os, sys
    from provider_router import Router
    from provider_router.plugin import OpenAICompatibleProvider

    class Plain(OpenAICompatibleProvider):
        type = "plain"

    router = Router(providers=[Plain("a", base_url=sys.argv[1])])
"""


def run(script: str, *args: str, **options: Any) -> subprocess.CompletedProcess[str]:
    code = textwrap.dedent(SCRIPT) + textwrap.dedent(script)
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code, *args], capture_output=True, text=True, timeout=60, **options
    )


def test_a_session_without_with_ends_cleanly_with_the_interpreter() -> None:
    with Backend(answers("Hello")) as one:
        done = run("print(router.chat('hi'))", one.base_url)
    assert (done.stdout, done.stderr, done.returncode) == ("Hello\n", "", 0)


@pytest.mark.posix
def test_parent_and_child_of_a_fork_both_go_on() -> None:
    script = """
    import warnings
    warnings.simplefilter("ignore", DeprecationWarning)  # 3.12 warns of any fork beside threads
    print(router.chat("before"), flush=True)
    child = os.fork()
    if child == 0:
        print(router.chat("in the child"), flush=True)
        with router.stream("in the child") as stream:
            print("".join(chunk.text for chunk in stream), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    print(router.chat("after"), flush=True)
    """
    with Backend() as one:
        done = run(script, one.base_url)
    assert done.stderr == ""
    assert done.returncode == 0
    assert [line.rpartition(": ")[2] for line in done.stdout.splitlines()] == [
        "before",
        "in the child",
        "in the child",
        "after",
    ]


@pytest.mark.posix
def test_ctrl_c_ends_a_waiting_call_at_once_and_breaks_it_off_upstream() -> None:
    script = """
    try:
        router.chat("hi", model="m")
    except KeyboardInterrupt:
        print("interrupted")
    """
    with Backend(silent()) as one:
        code = textwrap.dedent(SCRIPT) + textwrap.dedent(script)
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, one.base_url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert one.wait_until(lambda backend: len(backend.requests) == 1, timeout=30)
        begun = time.monotonic()
        os.kill(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=30)
        assert time.monotonic() - begun < 10
        assert one.wait_until(lambda backend: backend.hang_ups == 1)
    assert (out, err) == ("interrupted\n", "")


@pytest.mark.parametrize("make", [Router, AsyncRouter])
def test_an_unknown_argument_is_refused_with_the_nearest_name(make: Any) -> None:
    with pytest.raises(TypeError, match=r"a Router takes no 'provider'; did you mean providers\?"):
        make(provider=[])
    with pytest.raises(TypeError, match=r"a Router takes no 'zzz'$"):
        make(zzz=1)


def test_python_is_told_that_no_configuration_is_needed(prouter_home: Path) -> None:
    with Router() as router, pytest.raises(NoCandidates, match="run `prouter add`") as nobody:
        router.chat("hi")
    assert "providers" not in str(nobody.value)
    assert any("Router(providers=[…])" in note for note in nobody.value.__notes__)


@pytest.mark.posix
@pytest.mark.parametrize("delay", [0.0, 0.05, 0.13])
def test_ctrl_c_in_the_middle_of_a_stream_is_a_keyboard_interrupt_and_nothing_else(delay: float) -> None:
    script = """
    try:
        with router.stream("hi", model="m") as stream:
            for chunk in stream:
                print(chunk.text, end="", flush=True)
    except KeyboardInterrupt:
        print("|interrupted")
    print(router.chat("hi", model="m").text[:5])
    """
    with Backend(answers(LONG, pace=0.01)) as one:
        code = textwrap.dedent(SCRIPT) + textwrap.dedent(script)
        process = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, one.base_url],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.read(5) == "word0"
        threading.Event().wait(delay)  # the interrupt may come at any moment of a crossing
        os.kill(process.pid, signal.SIGINT)
        assert one.wait_until(lambda backend: backend.hang_ups == 1)
        out, err = process.communicate(timeout=30)
    assert err == ""
    assert out.endswith("|interrupted\nword0\n")


def test_a_stream_left_open_at_the_end_of_the_program_is_closed_in_silence() -> None:
    script = """
    stream = router.stream("hi", model="m")
    stream.__enter__()
    print(next(stream).text)
    """
    with Backend(answers(LONG, pace=0.01)) as one:
        done = run(script, one.base_url.replace("127.0.0.1", "localhost"))
    assert (done.stderr, done.returncode) == ("", 0)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_program_ends_in_silence_whatever_the_address(host: str) -> None:
    with Backend(answers("Hello")) as one:
        done = run("print(router.chat('hi'))", one.base_url.replace("127.0.0.1", host))
    assert (done.stdout, done.stderr, done.returncode) == ("Hello\n", "", 0)
