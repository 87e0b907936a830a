"""YAML events to a tree of nodes that know their place, within bounds.

PyYAML's parser is used up to its events, which hold no values yet: no tag is ever carried out. Everything
that its safe loader lets pass is decided here: duplicate keys, aliases, merge keys, tags, depth and size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeAlias

import yaml

from ksmlab_core.errors import Problem, Problems
from ksmlab_core.experiment.document import Mark, format_path, shortened
from ksmlab_core.experiment.yaml_scalars import AmbiguousError, Scalar, meaning

MOST_VALUES: Final = 200_000
"""Values in one text, aliases written out."""
DEEPEST: Final = 40
"""Levels of nesting, aliases written out."""

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_TEXT_TAG: Final = "tag:yaml.org,2002:str"
_MERGE: Final = "<<"


@dataclass(frozen=True, slots=True)
class Entry:
    """One key of a mapping with its value."""

    mark: Mark
    node: Node
    merged: bool = False


Content: TypeAlias = Scalar | list["Node"] | dict[str, Entry]


@dataclass(frozen=True, slots=True)
class Node:
    """A value: where it begins, what it is, how many values it holds and how deep they nest."""

    mark: Mark
    content: Content
    size: int = 1
    height: int = 1


def compose(text: str, file: str) -> tuple[Node | None, list[Problem]]:
    """The one document of a text, and what is wrong with it short of its syntax.

    Raises:
        Problems: The text is not YAML, holds a second document, or goes beyond the bounds.
    """
    composer = _Composer(text, file)
    try:
        return composer.document(), composer.problems
    except yaml.MarkedYAMLError as error:
        composer.at_top()
        composer.stop(_mark(error.problem_mark or error.context_mark), _in_one_line(error, text))
    except yaml.YAMLError as error:
        composer.at_top()
        composer.stop(None, " ".join(str(error).split()))


class _Composer:
    """Reads the events of one text."""

    def __init__(self, text: str, file: str) -> None:
        self.file = file
        self.problems: list[Problem] = []
        self._events: Iterator[Any] = yaml.parse(text, Loader=_LOADER)
        self._anchors: dict[str, Node | None] = {}
        self._values = 0
        self._path: list[str | int] = []

    def complain(self, mark: Mark | None, what: str, allowed: str | None = None) -> None:
        line, column = mark or (None, None)
        self.problems.append(Problem(self.file, line, column, format_path(tuple(self._path)), what, allowed))

    def at_top(self) -> None:
        """What comes next concerns the text, not the value being read."""
        self._path.clear()

    def stop(self, mark: Mark | None, what: str, allowed: str | None = None) -> NoReturn:
        self.complain(mark, what, allowed)
        raise Problems(self.problems)

    def document(self) -> Node | None:
        root: Node | None = None
        for event in self._events:
            if isinstance(event, yaml.DocumentStartEvent):
                if root is not None:
                    self.stop(_mark(event.start_mark), "a second document begins here", "one experiment a file")
                root = self._node(next(self._events), 1)
        return root

    def _node(self, event: Any, depth: int) -> Node:
        mark = _mark(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, mark, depth)
        self._count(1, mark)
        if depth > DEEPEST:
            self.stop(mark, "nested too deeply", f"at most {DEEPEST} levels")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        node = self._content(event, mark, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _count(self, values: int, mark: Mark) -> None:
        self._values += values
        if self._values > MOST_VALUES:
            self.stop(mark, "too many values", f"at most {MOST_VALUES}, aliases written out")

    def _alias(self, anchor: Any, mark: Mark, depth: int) -> Node:
        node = self._anchors.get(anchor)
        if node is None:
            reason = "stands for a value that holds it" if anchor in self._anchors else "has no anchor before it"
            self.stop(mark, f"the alias *{shortened(anchor)} {reason}")
        self._count(node.size, mark)
        if depth + node.height - 1 > DEEPEST:
            self.stop(mark, "nested too deeply", f"at most {DEEPEST} levels, aliases written out")
        return node

    def _content(self, event: Any, mark: Mark, depth: int) -> Node:
        if isinstance(event, yaml.ScalarEvent):
            return Node(mark, self._scalar(event, mark))
        self._refuse_tag(event, mark)
        if isinstance(event, yaml.SequenceStartEvent):
            items = list(self._items(depth))
            return Node(mark, items, *_extent(items))
        entries = self._entries(depth)
        return Node(mark, entries, *_extent([entry.node for entry in entries.values()]))

    def _scalar(self, event: Any, mark: Mark) -> Scalar:
        value: str = event.value
        if any("\ud800" <= character <= "\udfff" for character in value):
            self.complain(mark, "half of a surrogate pair is not a character")
            return ""
        if event.tag is not None:
            self._refuse_tag(event, mark)
            return value
        if not event.implicit[0]:
            return value
        try:
            return meaning(value)
        except AmbiguousError as doubt:
            self.complain(mark, doubt.what, doubt.allowed)
            return doubt.reading

    def _refuse_tag(self, event: Any, mark: Mark) -> None:
        if event.tag is not None and event.tag != _TEXT_TAG:
            name = event.tag.replace("tag:yaml.org,2002:", "!!")
            self.complain(mark, f"the tag {shortened(name)!a} is not allowed", "plain values only")

    def _items(self, depth: int) -> Iterator[Node]:
        self._path.append(0)
        while not isinstance(event := next(self._events), yaml.SequenceEndEvent):
            yield self._node(event, depth + 1)
            self._path[-1] = int(self._path[-1]) + 1
        self._path.pop()

    def _entries(self, depth: int) -> dict[str, Entry]:
        entries: dict[str, Entry] = {}
        while not isinstance(event := next(self._events), yaml.MappingEndEvent):
            mark, merge = _mark(event.start_mark), _is_merge(event)
            key = self._key(self._node(event, depth + 1), mark)
            self._path.append(key or "")
            node = self._node(next(self._events), depth + 1)
            if merge:
                self._merge(entries, node)
            elif key is not None:
                self._add(entries, key, Entry(mark, node))
            self._path.pop()
        return entries

    def _key(self, key: Node, mark: Mark) -> str | None:
        if isinstance(key.content, str):
            return key.content
        if isinstance(key.content, (list, dict)):
            self.complain(mark, "a list or mapping cannot be a key")
        else:
            shown = "null" if key.content is None else str(key.content).lower()
            self.complain(mark, f"the key {shown} is not a text", f"write '{shown}' in quotes")
        return None

    def _add(self, entries: dict[str, Entry], key: str, entry: Entry) -> None:
        earlier = entries.get(key)
        if earlier is not None and not earlier.merged:
            where = f"it was given in line {earlier.mark.line} already"
            self.complain(entry.mark, "duplicate key", where)
            return
        entries[key] = entry

    def _merge(self, entries: dict[str, Entry], node: Node) -> None:
        """``<<: *base``: keys of other mappings, behind the mapping's own and those merged earlier."""
        for source in node.content if isinstance(node.content, list) else [node]:
            if not isinstance(source.content, dict):
                self.complain(node.mark, "<< needs a mapping, or a list of mappings", "for example <<: *base")
                continue
            for key, entry in source.content.items():
                entries.setdefault(key, Entry(entry.mark, entry.node, merged=True))


def _extent(children: list[Node]) -> tuple[int, int]:
    size = 1 + sum(child.size for child in children)
    return size, 1 + max((child.height for child in children), default=0)


def _is_merge(event: Any) -> bool:
    return isinstance(event, yaml.ScalarEvent) and event.value == _MERGE and event.implicit[0]


def _mark(mark: Any) -> Mark:
    return Mark(mark.line + 1, mark.column + 1)


def _in_one_line(error: yaml.MarkedYAMLError, text: str) -> str:
    said = ", ".join(part for part in (error.context, error.problem) if part)
    place = error.problem_mark
    lines = text.split("\n") if place is not None else []
    tab = place is not None and place.line < len(lines) and lines[place.line][place.column :].startswith("\t")
    return "this is not YAML: " + " ".join(said.split()) + ("; a tab cannot indent, use spaces" if tab else "")
