"""`prouter changes`: the log, what a change did, back again, out and in; and a file in place of the database."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

Prouter = Callable[..., Result]


@pytest.fixture
def lived(prouter: Prouter) -> Prouter:
    """1 adds desk, 2 adds a model, 3 links it, 4 sets a key."""
    for line in (
        "provider add --id desk --type lm-studio --config baseURL=http://localhost:9/v1 --no-check",
        "model add pelican",
        "model link desk pelican --default",
        "provider config desk apiKey sk-pelican",
    ):
        assert 0 == prouter(*line.split()).exit_code, line
    return prouter


def test_the_log_is_a_table_and_can_be_narrowed(lived: Prouter, answer: Callable[..., Any]) -> None:
    assert [4, 3, 2, 1] == [one["number"] for one in answer("changes", "log")]
    assert [4, 1] == [one["number"] for one in answer("changes", "log", "--noun", "provider", "--since", "1h")]
    assert [4] == [one["number"] for one in answer("changes", "log", "--since", "3")]
    assert [] == answer("changes", "log", "--since", "2999-01-01")
    assert [3] == [one["number"] for one in answer("changes", "log", "--limit", "1", "--subject", "desk pelican")]
    assert "added model pelican" in lived("changes", "log", "--who", "cli").stdout
    assert "There is no such change.\n" == lived("changes", "log", "--who", "rest").stderr
    assert 2 == lived("changes", "log", "--since", "soon").exit_code


def test_a_diff_is_readable_and_masks_secrets(lived: Prouter, answer: Callable[..., Any]) -> None:
    assert "+ link desk pelican\n    default  true\n" == lived("changes", "diff", "3").stdout
    assert "~ provider desk\n    apiKey  (none) → ***\n" == lived("changes", "diff", "1", "4").stdout.partition("+")[0]
    assert {
        "noun": "provider",
        "subject": "desk",
        "kind": "changed",
        "fields": {"apiKey": [None, "***"]},
    } == answer("changes", "diff", "3", "4")[0]
    assert "Nothing is different.\n" == lived("changes", "diff", "4", "4").stderr
    assert (1, "Error: There is no change 9") == ((told := lived("changes", "diff", "9")).exit_code, told.stderr[:27])


def test_a_rollback_asks_unless_it_is_told(lived: Prouter, answer: Callable[..., Any]) -> None:
    lived("provider", "remove", "desk", "--yes")
    refused = lived("changes", "rollback", "4")
    assert (2, True) == (refused.exit_code, "say --yes" in refused.stderr)
    planned = lived("changes", "rollback", "4", "--dry-run")
    assert "+ provider desk" in planned.stdout
    assert [] == answer("list")
    assert "back at change 4, as change 6" in lived("changes", "rollback", "4", "--yes").stdout
    assert ["pelican"] == answer("provider", "show", "desk")["models"]
    assert "***" == answer("provider", "config", "desk", "apiKey")
    again = answer("changes", "rollback", "4", "--yes")
    assert (None, []) == (again["change"], again["differences"])


def test_an_export_comes_in_again(lived: Prouter, answer: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    told = lived("changes", "export", str(file))
    assert (f"{file}: 1 provider, 1 model, 0 settings\n", True) == (told.stdout, "desk/apiKey" in told.stderr)
    assert "sk-pelican" not in file.read_text()
    assert "[providers.desk]" in lived("changes", "export", "--toml").stdout
    content = lived("changes", "export").stdout
    assert "pelican" in json.loads(content)["models"]
    assert [] == answer("changes", "import", str(file))["differences"]
    other = ("--db", str(tmp_path / "other.db"))
    dry = answer("changes", "import", "-", "--dry-run", *other, input=content)
    assert (None, 3) == (dry["change"], len(dry["differences"]))
    assert "imported, as change 1" in lived("changes", "import", str(file), *other).stdout
    assert 2 == lived("changes", "export", "--toml", "--json").exit_code


def test_what_was_left_out_is_said_with_how_to_give_it(prouter: Prouter) -> None:
    config = {"baseURL": "http://h:1/v1", "apiKey": "env:K"}
    content = json.dumps({"providers": {"host": {"type": "openai-compatible", "config": config}}})
    told = prouter("changes", "import", "-", input=content)
    assert "host/apiKey was left out. Give it: prouter provider config host apiKey --stdin\n" in told.stderr


def test_a_declarative_file_is_shown_and_not_changed(
    prouter: Prouter, answer: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "providers.toml"
    file.write_text('[providers.desk]\ntype = "lm-studio"\nconfig = { baseURL = "http://localhost:9/v1" }\n')
    monkeypatch.setenv("PROUTER_CONFIG", str(file))
    assert ["desk"] == [one["id"] for one in answer("list")]
    status = answer("status", "--no-check")
    assert (None, str(file), "ready") == (status["database"], status["declared"], status["providers"][0]["state"])
    assert f"Declared:  {file} (PROUTER_CONFIG)" in prouter().stdout
    refused = prouter("provider", "disable", "desk")
    assert (1, True) == (refused.exit_code, "comes from" in refused.stderr and "is changed there" in refused.stderr)
    file.write_text('[providers.desk]\ntype = "penguin"\n')
    broken = prouter("status")
    assert (1, True) == (
        broken.exit_code,
        "[providers.desk] type: no provider type is called 'penguin'" in broken.stderr,
    )
