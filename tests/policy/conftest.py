"""Plugin files in a folder of their own."""

from __future__ import annotations

import textwrap

import pytest

from ksmlab_core.policy import load_registry

GOOD = '''
"""A plugin."""
from ksmlab_core.policy import Field, Swapin, SwapinPolicy, hookimpl


class Mine(SwapinPolicy):
    name = "mine"

    class Params(SwapinPolicy.Params):
        level: int = Field(1, ge=0, description="level")

    def decide(self, fault):
        return Swapin.KERNEL


@hookimpl
def ksmlab_swapin_policies():
    return [Mine]
'''.lstrip()


class Desk:
    """Writes plugin files and loads them."""

    def __init__(self, folder):
        self.folder = folder

    def write(self, text, name="mine.py"):
        path = self.folder / name
        path.write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
        return path

    def load(self, text, name="mine.py"):
        self.write(text, name)
        return load_registry([f"./{name}"], autoload=False)

    def good(self, *changes, name="mine.py"):
        """Load the good plugin with (old, new) changes."""
        text = GOOD
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        return self.load(text, name)


@pytest.fixture
def desk(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return Desk(tmp_path)
