"""Plain text for terminals and pipes alike: columns in line, paragraphs indented."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


def aligned(rows: Sequence[Sequence[str]], *, indent: str = "") -> Iterator[str]:
    """Rows as lines with their columns in line, two spaces apart; the last column is as long as it likes."""
    if not rows:
        return
    widths = [max(len(row[nth]) for row in rows) for nth in range(len(rows[0]))]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        yield f"{indent}{'  '.join(cells)}".rstrip()
