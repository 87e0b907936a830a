"""One self-contained HTML page for an experiment's results.

The page needs nothing from outside: styles and drawings are in it, there is no script. The same results give the same
bytes. It needs the extra `report` (jinja2, matplotlib and scipy), which is imported only when a page is made.
"""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ksmlab_core.errors import BadInput, ResultsNotWritten

if TYPE_CHECKING:
    from ksmlab_core.lab.collection import Collection

HOW_TO_GET_IT = "reports need more packages: pip install 'ksmlab[report]'"


def available() -> bool:
    """Can pages be made here? Imports nothing."""
    return all(find_spec(package) for package in ("jinja2", "matplotlib", "scipy"))


def page(collection: Collection) -> str:
    """The report of an experiment as HTML.

    Raises:
        BadInput: the extra `report` is not installed.
    """
    if not available():
        raise BadInput(HOW_TO_GET_IT)
    from ksmlab_core.lab.report.filling import render

    return render(collection)


def write_page(collection: Collection, file: Path) -> None:
    """Write the report of an experiment to a file, whole or not at all.

    Raises:
        BadInput: the extra `report` is not installed.
        ResultsNotWritten: the file cannot be written.
    """
    text = page(collection)
    aside = file.with_name(f".{file.name}.aside")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        aside.write_text(text, encoding="utf-8")
        aside.replace(file)
    except OSError as error:
        with suppress(OSError):
            aside.unlink()
        raise ResultsNotWritten(str(file), f"report not written: {error.strerror or error}") from error
