from __future__ import annotations

import subprocess
import sys


def test_the_installed_types_are_listed(prouter, answer) -> None:
    text = prouter("types").stdout
    assert "lm-studio" in text
    assert "baseURL" in text
    assert {"lm-studio", "openai-compatible"} <= {cls["type"] for cls in answer("types")}


def test_the_options_of_a_type_are_told(prouter, answer) -> None:
    text = prouter("types", "lm-studio").stdout
    for part in ("required", "http://localhost:1234/v1", "secret", "Options of every type"):
        assert part in text
    options = {option["name"]: option for option in answer("types", "lm-studio")["options"]}
    assert (True, "url") == (options["baseURL"]["required"], options["baseURL"]["kind"])
    assert options["apiKey"]["sensitive"]
    assert "did you mean lm-studio?" in prouter("types", "lmstudio").stderr


def test_the_plugins_are_listed(prouter, answer) -> None:
    assert "lm-studio" in prouter("plugin", "list").stdout
    assert [""] == list({plugin["problem"] for plugin in answer("plugin", "list")})


def test_without_any_plugin_it_says_what_to_install() -> None:
    run = (
        "import importlib.metadata as m; m.entry_points = lambda **_: []; from provider_router.cli import main; main()"
    )
    for arguments in (["types"], ["plugin", "list"], ["demo"]):
        done = subprocess.run([sys.executable, "-c", run, *arguments], capture_output=True, text=True)
        assert "pip install" in done.stderr
        assert (1 if arguments == ["demo"] else 0) == done.returncode
