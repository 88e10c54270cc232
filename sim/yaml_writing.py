"""Plain data to YAML text: the one way out for scenarios and profiles, each list in brackets."""

import io
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
    stream = io.StringIO()
    yaml = YAML(typ='safe', pure=True)
    yaml.Representer = _ListsInBrackets
    yaml.default_flow_style = False
    yaml.width = width
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # declared None, read as a truth
    yaml.dump(data, stream)
    return stream.getvalue()


class _ListsInBrackets(SafeRepresenter):
    def represent_list(self, data: Any) -> SequenceNode:
        """Return a list in brackets."""
        node: SequenceNode = self.represent_sequence('tag:yaml.org,2002:seq', data, flow_style=True)
        return node


_ListsInBrackets.add_representer(list, _ListsInBrackets.represent_list)
