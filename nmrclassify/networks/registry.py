"""All networks by their `kind`, and the tensor names of files that version 0.1 wrote."""

from nmrclassify.networks.queries import Queries
from nmrclassify.networks.slots import Slots

NETWORKS: dict[str, type[Queries] | type[Slots]] = {
    network.kind: network for network in (Queries, Slots)
}

# What a tensor, or the module that holds it, was called in version 0.1, and is called now.
RENAMED_TENSORS = {
    "separator.knee": "separator.prelu",
    "scales": "asinh_scales",
    "judges": "class_heads",
    "judges_bias": "class_heads_bias",
    "knee_features": "features_prelu",
    "knee_judges": "class_heads_prelu",
    "jury": "global_head",
}


def current_tensor_name(name: str) -> str:
    """Return the present name of a tensor of a file, ``model.`` and the name in the network.

    Names that have not changed are returned as they are.
    """
    for old, new in RENAMED_TENSORS.items():
        if f"{name}.".startswith(f"model.{old}."):
            return f"model.{new}{name.removeprefix(f'model.{old}')}"
    return name
