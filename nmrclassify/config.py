"""Bounds of configuration values: stated once, checked on construction, read by the widgets."""

from dataclasses import dataclass, field, fields
from typing import Any


@dataclass(frozen=True)
class Bounds:
    """The closed interval that a configuration value must lie in, and what the value means."""

    low: float
    high: float
    help: str


def bounded(default: Any, low: float, high: float, help: str) -> Any:
    """Declare a dataclass field whose value must lie in ``[low, high]``."""
    return field(default=default, metadata={"bounds": Bounds(low, high, help)})


def bounds(config: type, name: str) -> Bounds:
    """Return the bounds that `config` declares for the field `name`."""
    return next(item for item in fields(config) if item.name == name).metadata["bounds"]


def check(config: Any) -> None:
    """Raise ValueError if a field of a dataclass has the wrong type or is out of bounds."""
    for item in fields(config):
        limit, value = item.metadata.get("bounds"), getattr(config, item.name)
        if limit is None:
            if isinstance(item.default, bool) and not isinstance(value, bool):
                raise ValueError(f"{item.name} is {value!r}; expected true or false")
            continue
        whole = isinstance(item.default, int) and not isinstance(item.default, bool)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        # A NaN fails the comparison below, and is refused with the rest.
        if not is_number or not limit.low <= value <= limit.high or (whole and value != int(value)):
            kind = "a whole number" if whole else "a number"
            raise ValueError(
                f"{item.name} is {value!r}; expected {kind} from {limit.low:g} to {limit.high:g}"
                f" ({limit.help})"
            )
