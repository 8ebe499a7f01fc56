"""YAML text -> plain data, with the line and column of every key and value.

YAML 1.2 (``20e6`` is a number, ``yes`` is a word), one document, and only what a scenario needs: maps with
text keys, lists, numbers, text, true, false, null. Refused on purpose: duplicate keys, anchors and aliases
(a few lines of them can expand to gigabytes), tags (nothing in a document constructs an object), and
anything larger than ``LARGEST_BYTES``.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeAlias, final

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from cosim.errors import ScenarioError

LARGEST_BYTES: Final = 2**17
DEEPEST: Final = 50
"""Levels of maps and lists in one another."""
LONGEST_NUMBER: Final = 100
"""Digits and signs of a number; more is a mistake, and slow to convert."""

Place: TypeAlias = tuple[str | int, ...]
"""Where something stands in a document: keys and list indices from the top."""

_PLAIN: Final = {f"tag:yaml.org,2002:{name}" for name in ("str", "int", "float", "bool", "null")}
_TEXT: Final = {"tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:value"}


@dataclass(frozen=True)
class Document:
    """A file's data, and where its parts stand: (line, column), both from 1."""

    name: str
    data: Any
    keys: dict[Place, tuple[int, int]] = field(default_factory=dict)
    values: dict[Place, tuple[int, int]] = field(default_factory=dict)

    def where(self, place: Place, *, key: bool = False) -> str:
        """``file:line:column`` of a place's value (or of its key), else of the nearest part around it."""
        positions = self.keys if key else self.values
        while place and place not in positions:
            place, positions = place[:-1], self.values
        line, column = positions.get(place, (1, 1))
        return f"{self.name}:{line}:{column}"


def dotted(place: Place) -> str:
    """``a.b.0.c`` of a place; a key with unusual characters is quoted and shortened."""
    return ".".join(part if isinstance(part, str) and re.fullmatch(r"[\w:-]{1,60}", part) else shown(part) for part in place)


def shown(value: Any, width: int = 60) -> str:
    """A value as a scenario would write it, on one line, shortened."""
    try:
        text = json.dumps(value, default=str, ensure_ascii=False)
    except (TypeError, ValueError, RecursionError):
        text = f"<{type(value).__name__}>"
    text = text if len(text) <= width else f"{text[: width - 3]}..."
    return "".join(sign if sign.isprintable() else f"\\u{ord(sign):04x}" for sign in text)


def read(path: str | Path, *, least: str = "scenario is a line such as 'seed: 1'") -> Document:
    """The document in a file. Raises ScenarioError if it is missing, not text, not YAML, empty or not a map.

    ``least``: what the message about an empty file says the least document is.
    """
    name = str(path)
    try:
        with Path(path).open("rb") as file:
            content = file.read(LARGEST_BYTES + 1)
    except FileNotFoundError:
        raise ScenarioError(f"{name}: no such file") from None
    except IsADirectoryError:
        raise ScenarioError(f"{name}: is a directory, not a YAML file") from None
    except (OSError, ValueError) as error:
        raise ScenarioError(f"{name}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    if len(content) > LARGEST_BYTES:
        raise ScenarioError(f"{name}: larger than {LARGEST_BYTES} bytes, which is no scenario")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{name}: not a text file in UTF-8 (byte {error.start})") from None
    document = parse(text, name)
    if document.data is None:
        raise ScenarioError(f"{name}: is empty; the least {least}")
    if not isinstance(document.data, dict):
        raise ScenarioError(f"{document.where(())}: must be a map of sections (key: value), not {shown(document.data)}")
    return document


def parse(text: str, name: str) -> Document:
    """The document in a text; ``name`` stands for the file in errors. Raises ScenarioError."""
    yaml = YAML(typ="safe", pure=True)
    yaml.Composer = _Shallow
    try:
        root = yaml.compose(text)
        document = Document(name, None)
        data = None if root is None else _Reader(yaml, document).value(root, ())
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        problem = ", ".join(part for part in (error.context, error.problem) if part)
        raise ScenarioError(f"{name}{place}: not YAML: {problem}") from None
    except YAMLError as error:
        raise ScenarioError(f"{name}: not YAML: {str(error).splitlines()[0]}") from None
    return Document(name, data, document.keys, document.values)


@final
class _Shallow(Composer):
    """Refuses deep nesting at once: the deeper, the slower."""

    depth = 0

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        """One node and what is in it."""
        if self.depth == DEEPEST:
            raise ComposerError(None, None, f"nested too deeply, more than {DEEPEST} levels", self.loader.parser.peek_event().start_mark)
        self.depth += 1
        node: Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node


@dataclass(frozen=True)
class _Reader:
    """Turns YAML nodes into data, noting where each stands."""

    yaml: YAML
    document: Document

    def value(self, node: Node, place: Place) -> Any:
        self.document.values[place] = (node.start_mark.line + 1, node.start_mark.column + 1)
        if node.anchor:
            raise self._refusal(place, f"anchors and aliases (&{node.anchor}, *{node.anchor}) are not supported; write the value out")
        if isinstance(node, MappingNode) and node.tag == "tag:yaml.org,2002:map":
            return self._map(node, place)
        if isinstance(node, SequenceNode) and node.tag == "tag:yaml.org,2002:seq":
            return [self.value(item, (*place, index)) for index, item in enumerate(node.value)]
        if isinstance(node, ScalarNode) and node.tag in _PLAIN | _TEXT:
            return self._scalar(node, place)
        raise self._refusal(place, f"tag {node.tag} is not supported; only plain maps, lists, numbers and text are")

    def _map(self, node: MappingNode, place: Place) -> dict[str, Any]:
        result: dict[str, Any] = {}
        for key_node, value_node in node.value:
            key = key_node.value
            here = (*place, key if isinstance(key, str) else "?")
            position = (key_node.start_mark.line + 1, key_node.start_mark.column + 1)
            if key_node.tag != "tag:yaml.org,2002:str" or key_node.anchor:
                self.document.values[here] = position
                raise self._refusal(here, "a key must be plain text")
            if key in result:
                first = self.document.keys[here][0]
                self.document.values[here] = position
                raise self._refusal(here, f"duplicate key, first set in line {first}")
            self.document.keys[here] = position
            result[key] = self.value(value_node, here)
            if result[key] is None:
                self.document.values[here] = position  # the mark of an empty value lies on a later line
        return result

    def _scalar(self, node: ScalarNode, place: Place) -> Any:
        if node.tag in _TEXT:
            return node.value
        if str(node.tag).endswith((":int", ":float")) and len(node.value) > LONGEST_NUMBER:
            raise self._refusal(place, f"a number of more than {LONGEST_NUMBER} characters")
        try:
            return self.yaml.constructor.construct_object(node)
        except (ValueError, LookupError, OverflowError):
            raise self._refusal(place, f"{shown(node.value)} is not of the type that its tag {node.tag} says") from None

    def _refusal(self, place: Place, problem: str) -> ScenarioError:
        return ScenarioError(f"{self.document.where(place)}: {dotted(place) or 'document'}: {problem}")
