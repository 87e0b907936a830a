"""A headless browser for tests of pages, where one is installed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
"""What the browser is called by the distributions."""


@contextmanager
def started() -> Iterator[Any]:
    """The browser, or a skip that says what is missing."""
    api = pytest.importorskip("playwright.sync_api", reason="no playwright here: pip install 'ksmlab[browser]'")
    with api.sync_playwright() as playwright:
        program = next(filter(None, map(shutil.which, NAMES)), None) or playwright.chromium.executable_path
        if not os.path.exists(program):
            pytest.skip("no Chromium here: apt-get install chromium")
        # A container's root may not make the namespaces that the sandbox is of; the pages are our own.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Tab:
    """One page that is open, and whatever it complained of."""

    page: Any
    troubles: list[str] = field(default_factory=list)

    @property
    def ask(self) -> Any:
        """Evaluate JavaScript in the page."""
        return self.page.evaluate


@contextmanager
def opened(
    browser: Any, file: Path, *, width: int = 1280, scheme: str = "light", scripts: bool = True, fragment: str = ""
) -> Iterator[Tab]:
    """A file open in a tab of its own, as a user opens it; no complaint of the page is let pass."""
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=scheme, java_script_enabled=scripts
    )
    try:
        tab = Tab(context.new_page())
        wanted = file.as_uri()
        tab.page.on("console", lambda message: tab.troubles.append(f"console: {message.text}"))
        tab.page.on("pageerror", lambda error: tab.troubles.append(f"error: {error}"))
        tab.page.on("dialog", lambda dialog: (tab.troubles.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        tab.page.on(
            "request",
            lambda request: request.url.partition("#")[0] != wanted and tab.troubles.append(f"request: {request.url}"),
        )
        tab.page.goto(wanted + fragment)
        yield tab
        assert tab.troubles == []
    finally:
        context.close()
