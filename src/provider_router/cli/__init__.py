"""The command `prouter`: parse, one call, print. Nothing that another surface would need is decided here."""

from __future__ import annotations


def main() -> None:
    """Run the command of this process's arguments, and end the process."""
    from provider_router.cli.program import prouter

    prouter.main(prog_name="prouter")
