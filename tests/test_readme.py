"""The README says what is true: its set-up commands, and every command there is."""

import re
from pathlib import Path

import pytest
import typer.main

from edge.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def _commands(group, prefix=("edge",)):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(command, (*prefix, name))
        else:
            # The command that a group runs without being named goes by the group's name.
            own = () if name == getattr(group, "unnamed", None) else (name,)
            yield (*prefix, *own), command


COMMANDS = dict(_commands(typer.main.get_command(app)))


def test_the_quick_start_is_two_commands():
    section = README.split("## Quick start")[1].split("\n## ")[0]
    blocks = re.findall(r"```bash\n(.*?)```", section, re.DOTALL)
    assert [len(block.strip().splitlines()) for block in blocks] == [1, 1]
    demo, tests = blocks
    assert demo.startswith("python3 -m venv .venv && ")
    assert demo.strip().endswith(".venv/bin/edge run --demo")
    assert tests.startswith("python3 -m venv .venv && ")
    assert tests.strip().endswith(".venv/bin/pytest")


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_is_in_the_readme_and_has_help_with_an_example(words):
    command = COMMANDS[words]
    assert " ".join(words) in README
    assert command.help
    assert command.epilog.startswith("Example: " + " ".join(words))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_no_option_of_the_readme_is_made_up(words):
    known = {name for command in COMMANDS.values() for one in command.params for name in one.opts}
    lines = [line for line in README.splitlines() if line.lstrip("$ ").startswith(" ".join(words))]
    for line in lines:
        assert set(re.findall(r"(?<!\S)--[a-z0-9-]+", line)) <= known


def test_no_command_of_the_readme_is_made_up():
    names = {words[1] for words in COMMANDS}
    assert set(re.findall(r"^\$ edge ([a-z]+)", README, re.MULTILINE)) <= names
