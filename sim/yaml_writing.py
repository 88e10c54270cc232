"""Plain data to YAML text: the one way out, for scenarios and profiles with each list in brackets."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.nodes import SequenceNode
from ruamel.yaml.representer import SafeRepresenter

LINE_MAX = 1 << 20  # characters: nothing is folded


def written(data: Any, width: int = LINE_MAX) -> str:
    """Return mappings, lists, texts, numbers, truths and nothing as YAML, keys in the order that they have.

    Parameters
    ----------
    width
        Characters after which a line is folded, where it can be.
    """
    stream, yaml = io.StringIO(), _yaml(width)
    yaml.Representer = _ListsInBrackets
    yaml.dump(data, stream)
    return stream.getvalue()


def written_documents(objects: Sequence[Mapping[str, Any]]) -> str:
    """Return mappings as a document each, as others write them: every item of a list on a line of its own."""
    stream, yaml = io.StringIO(), _yaml(LINE_MAX)
    yaml.explicit_start = True
    yaml.dump_all(objects, stream)
    return stream.getvalue()


def _yaml(width: int) -> YAML:
    """Return what writes keys in the order that they have."""
    yaml = YAML(typ='safe', pure=True)
    yaml.default_flow_style = False
    yaml.width = width
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # declared None, read as a truth
    return yaml


class _ListsInBrackets(SafeRepresenter):
    def represent_list(self, data: Any) -> SequenceNode:
        """Return a list in brackets."""
        node: SequenceNode = self.represent_sequence('tag:yaml.org,2002:seq', data, flow_style=True)
        return node


_ListsInBrackets.add_representer(list, _ListsInBrackets.represent_list)
