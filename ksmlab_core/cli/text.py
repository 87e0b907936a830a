"""Plain text for terminals and pipes alike: columns in line, paragraphs indented."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence


def aligned(rows: Sequence[Sequence[str]], *, indent: str = "", right: Collection[int] = ()) -> Iterator[str]:
    """Rows as lines with their columns in line, two spaces apart; the last column is as long as it likes.

    Args:
        rows: cells, the same number in each.
        indent: put before every line.
        right: the columns, from 0, that end in line instead of beginning so.
    """
    if not rows:
        return
    widths = [max(len(row[nth]) for row in rows) for nth in range(len(rows[0]))]
    for row in rows:
        cells = [
            cell.rjust(width) if nth in right else cell.ljust(width)
            for nth, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"{indent}{'  '.join(cells)}".rstrip()


def counted(number: int, noun: str) -> str:
    """`1 run`, `1,200 runs`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def lasting(seconds: float) -> str:
    """Some time in the two units that matter: `0.4 s`, `25 s`, `4 min 10 s`, `3 h 5 min`."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
