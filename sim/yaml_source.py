"""YAML text to plain data with the line of every value: the one way in for scenarios, profiles and overrides.

Read are mappings with keys of text, lists, texts, numbers, truths and nothing, as YAML 1.2 writes them; aliases and
merge keys stand for what they repeat. Tags and directives are refused. Reading stops at the first thing that is wrong
or too much, so that a refusal comes soon, whatever the file holds.
"""

import copy
import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    AliasEvent,
    DocumentEndEvent,
    MappingEndEvent,
    MappingStartEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.nodes import ScalarNode
from ruamel.yaml.reader import ReaderError

from sim.errors import InputError

FILE_BYTES_MAX = 1 << 20  # a hospital of a thousand classes is smaller
DEPTH_MAX = 12  # the schema of scenarios is six deep
VALUES_MAX = 60_000  # with keys; two seconds of reading: long lists of arrivals are CSV files
NUMBER_CHARS_MAX = 400  # a float has 309 digits before its point, and Python refuses to write an integer of 4,300
# What YAML 1.2 (5.1) lets stand in a text; an escape such as "\0" can spell the others.
REFUSED = re.compile('[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]')
DIRECTIVE = re.compile('^%', re.MULTILINE)
LONG_TAG = re.compile(r'!\S{1000}')  # a tag takes its scanner time that grows with the square of its length
# What ruamel's parser lets out beside its own errors.
RUAMEL_RAISES = (YAMLError, ValueError, RecursionError, LookupError, AttributeError, TypeError, OverflowError)

Location = tuple[str | int, ...]
Where = Callable[[int, Location], str]  # the beginning of a message: what is wrong on which line, at which key


class Mark(NamedTuple):
    """The line of a key or of an item of a list, and the marks of what stands there."""

    line: int
    within: 'Marks'


Marks = Mapping[str | int, Mark]


class Node(NamedTuple):
    """A value, and what an alias for it has to know."""

    data: Any
    marks: Marks
    n_values: int
    depth: int


def read_file(path: Path, file: str, bytes_max: int = FILE_BYTES_MAX) -> str:
    """Return the text of a regular file of at most `bytes_max` bytes.

    Raises
    ------
    InputError
        If it cannot be read, is no regular file, is too large or is not UTF-8; `file` is how the message calls it.
    """
    try:
        with open(path, 'rb', opener=_open_at_once) as stream:  # Path.open takes none
            if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                raise InputError(f'{file}: cannot be read (not a regular file); name a file')
            data: bytes = stream.read(bytes_max + 1)
    except (OSError, ValueError) as error:  # a ValueError for a name that no file can have
        cause = error.strerror if isinstance(error, OSError) else error
        raise InputError(f'{file}: cannot be read ({cause}); check the path and its permissions') from None
    if len(data) > bytes_max:
        raise InputError(f'{file}: is larger than {max(bytes_max >> 20, 1)} MiB; split it or name a smaller file')
    try:
        return data.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        line = data[:error.start].count(b'\n') + 1
        raise InputError(f'{file}:{line} byte {error.start} is not UTF-8; save the file as UTF-8') from None


def _open_at_once(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NONBLOCK)  # else a FIFO waits for its writer


def read_yaml(text: str, where: Where) -> tuple[Any, Marks]:
    """Return the data of a text of one document, and the lines that it stands on.

    Raises
    ------
    InputError
        At the first thing that is not YAML, or more than a scenario or a profile can need.
    """
    for pattern, found, remedy in ((DIRECTIVE, "a line begins with '%'", 'directives are not read, remove it'),
                                   (LONG_TAG, 'a tag is longer than 1,000 characters', 'remove it')):
        match = pattern.search(text)
        if match:
            raise InputError(f'{where(text.count(chr(10), 0, match.start()) + 1, ())}: {found}; {remedy}')
    node = _Reader(text, where).document()
    return node.data, node.marks


def line_of(marks: Marks, location: Location) -> int:
    """Return the line of a key, or of the nearest key around it that the text has."""
    line = 1
    for part in location:
        if part not in marks:
            break
        line, marks = marks[part]
    return line


def spell_key(location: Location) -> str:
    """Write a location as in ``links[2].latency``."""
    text = ''
    for part in location:
        text += f'[{part}]' if isinstance(part, int) else f'.{part}' if text else str(part)
    return text


def in_file(file: str, line: int, location: Location) -> str:
    """Return the beginning of a message about a line of a file and a key."""
    return f'{file}:{line} {spell_key(location)}'.rstrip()


def refused_character(text: str) -> str | None:
    """Return the first character that no text may hold, as in ``U+0000``."""
    found = REFUSED.search(text)
    return f'U+{ord(found[0]):04X}' if found else None


class _Reader:
    """Turns the parser's events into data. It knows how much it has read, and what the anchors so far stand for."""

    def __init__(self, text: str, where: Where) -> None:
        yaml = YAML(typ='safe', pure=True)
        self._text, self._where = text, where
        self._events = yaml.parse(text)
        self._resolver = yaml.resolver
        self._anchors: dict[str, Node] = {}
        self._n_values = 0
        self._line = 1

    def document(self) -> Node:
        """Return the only document of the text; nothing if there is none."""
        self._next()  # the stream begins
        if isinstance(self._next(), StreamEndEvent):
            return Node(None, {}, 0, 0)
        node = self._node(self._next(), (), 0)
        while not isinstance(event := self._next(), StreamEndEvent):
            if not isinstance(event, DocumentEndEvent):
                self._refuse((), 'another document begins here', 'keep one')
        return node

    def _next(self) -> Any:
        try:
            event = next(self._events)
        except MarkedYAMLError as error:
            self._line = error.problem_mark.line + 1 if error.problem_mark else self._line
            self._refuse((), f'is not YAML: {" ".join(str(error.problem).split())}')
        except ReaderError as error:
            self._line = self._text.count('\n', 0, error.position) + 1
            self._refuse((), f'is not YAML: holds the character U+{error.character:04X}', 'remove it')
        except RUAMEL_RAISES as error:
            self._refuse((), f'is not YAML: {" ".join(str(error).split())[:200]}')
        self._line = event.start_mark.line + 1
        return event

    def _node(self, event: Any, at: Location, depth: int) -> Node:
        """Return the value that begins with an event."""
        if isinstance(event, AliasEvent):
            return self._alias(event.anchor, at, depth)
        self._count(1, at, depth)
        if event.tag is not None:
            tag = str(event.tag).replace('tag:yaml.org,2002:', '!!')
            self._refuse(at, f"has the tag '{tag}'", 'write the value without it')
        if isinstance(event, ScalarEvent):
            node = Node(self._scalar(event, at), {}, 1, 0)
        elif isinstance(event, SequenceStartEvent):
            node = self._list(at, depth)
        else:
            node = self._mapping(at, depth)
        if event.anchor is not None:
            self._anchors[event.anchor] = node
        return node

    def _alias(self, name: str, at: Location, depth: int) -> Node:
        node = self._anchors.get(name)
        if node is None:
            self._refuse(at, f"there is no '&{name}' before '*{name}'", f"write '&{name}' at what it stands for")
        self._count(node.n_values, at, depth + node.depth)
        return node._replace(data=copy.deepcopy(node.data))  # so that an override of one changes no other

    def _list(self, at: Location, depth: int) -> Node:
        nodes, marks = list[Node](), dict[str | int, Mark]()
        while not isinstance(event := self._next(), SequenceEndEvent):
            i, line = len(nodes), self._line
            nodes.append(self._node(event, (*at, i), depth + 1))
            marks[i] = Mark(line, nodes[i].marks)
        return _around([node.data for node in nodes], marks, nodes)

    def _mapping(self, at: Location, depth: int) -> Node:
        data, marks, nodes, merged = dict[str, Any](), dict[str | int, Mark](), list[Node](), list[Node]()
        while not isinstance(event := self._next(), MappingEndEvent):
            line = self._line
            key = self._key(event, at, depth)
            if key is None:
                merged.append(self._node(self._next(), at, depth + 1))
                continue
            if key in data:
                self._refuse((*at, key), f'duplicate key "{key}"', 'remove one of them')
            nodes.append(self._node(self._next(), (*at, key), depth + 1))
            data[key], marks[key] = nodes[-1].data, Mark(line, nodes[-1].marks)
        for node in merged:
            for part in node.data if isinstance(node.data, list) else [node.data]:
                if not isinstance(part, dict):
                    self._refuse(at, "'<<' stands before what is no mapping", 'write an alias of one behind it')
                data = {**part, **data}
        return _around(data, marks, [*nodes, *merged])

    def _key(self, event: Any, at: Location, depth: int) -> str | None:
        """Return a key of a mapping; None for ``<<``, which merges another mapping into it."""
        if isinstance(event, ScalarEvent) and event.value == '<<' and event.implicit[0]:
            return None
        if isinstance(event, MappingStartEvent | SequenceStartEvent):
            kind = 'mapping' if isinstance(event, MappingStartEvent) else 'list'
            self._refuse(at, f'a {kind} is not a name', 'write a text as key')
        line = self._line
        key = self._node(event, at, depth).data
        if not isinstance(key, str):
            self._line = line
            shown = getattr(event, 'value', key)
            self._refuse((*at, key if type(key) is int else f'{shown}'), f"'{shown}' is not a name",
                         'write names in quotes')
        return key

    def _scalar(self, event: ScalarEvent, at: Location) -> Any:
        """Return the value of a scalar by the rules of YAML 1.2."""
        text: str = event.value
        kind = str(self._resolver.resolve(ScalarNode, text, event.implicit)).rpartition(':')[2]
        if kind in ('int', 'float') and len(text) > NUMBER_CHARS_MAX:
            self._refuse(at, f'is a number of {len(text)} digits', 'write a shorter one')
        try:
            match kind:
                case 'null':
                    return None
                case 'bool':
                    return text.lower() == 'true'
                case 'int':
                    plain = text.replace('_', '')
                    return int(plain, 0 if plain.lstrip('+-')[1:2].isalpha() else 10)  # 0x, 0o and 0b
                case 'float':
                    return float(text.replace('_', '').lower().replace('.inf', 'inf').replace('.nan', 'nan'))
        except ValueError:
            self._refuse(at, f"'{text}' is no number", 'write text in quotes')
        character = refused_character(text)
        if character:
            self._refuse(at, f"'{text}' holds the character {character}", 'remove it')
        return text

    def _count(self, n: int, at: Location, depth: int) -> None:
        self._n_values += n
        if depth > DEPTH_MAX:
            self._refuse(at[:1], f'is nested deeper than {DEPTH_MAX}, aliases counted', 'write it flatter')
        if self._n_values > VALUES_MAX:
            self._refuse(at[:1], f'the {VALUES_MAX:,} values, aliases counted, that can be read are over here',
                         'write fewer')

    def _refuse(self, at: Location, found: str, remedy: str = 'correct the text') -> NoReturn:
        raise InputError(f'{self._where(self._line, at)}: {found}; {remedy}') from None


def _around(data: Any, marks: Marks, nodes: list[Node]) -> Node:
    """Return the node of a list or a mapping, which counts as one value beside those in it."""
    n_values = 1 + sum(node.n_values for node in nodes)
    return Node(data, marks, n_values, 1 + max((node.depth for node in nodes), default=0))
