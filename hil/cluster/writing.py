"""Objects of Kubernetes as YAML text, one document each: what ``kubectl apply -f -`` takes."""

import io

from ruamel.yaml import YAML

from hil.cluster.kustomization import Object

LINE_MAX = 1 << 20  # characters: nothing is folded


def as_yaml(objects: list[Object]) -> str:
    """Return objects as YAML, keys in the order that they have."""
    stream = io.StringIO()
    yaml = YAML(typ='safe', pure=True)
    yaml.default_flow_style = False
    yaml.width = LINE_MAX
    yaml.explicit_start = True
    yaml.sort_base_mapping_type_on_output = False  # type: ignore[assignment]  # declared None, read as a truth
    yaml.dump_all(objects, stream)
    return stream.getvalue()
