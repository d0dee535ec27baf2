import pytest

from nmrclassify.config import bounds
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.networks.conv_tasnet import NetworkConfig
from nmrclassify.nmr.library import LibraryConfig
from nmrclassify.training.recipes import TrainConfig


@pytest.mark.parametrize("config", [LibraryConfig, MixtureConfig, NetworkConfig, TrainConfig])
def test_every_bound_holds_at_its_edges_and_not_beyond(config):
    for name, item in config.__dataclass_fields__.items():
        if "bounds" not in item.metadata:
            continue
        limit = bounds(config, name)
        assert limit.low <= item.default <= limit.high
        for value in (limit.low - 1, limit.high + 1, float("nan"), "3", True):
            with pytest.raises(ValueError, match=f"{name} is .*expected"):
                config(**{name: value})


def test_whole_numbers_stay_whole():
    with pytest.raises(ValueError, match="n_sources is 2.5; expected a whole number"):
        MixtureConfig(n_sources=2.5)


def test_concentrations_must_be_in_order():
    with pytest.raises(ValueError, match="swap them"):
        MixtureConfig(concentration_low=2.0)


def test_flags_are_true_or_false():
    with pytest.raises(ValueError, match="repetition is 'maybe'; expected true or false"):
        MixtureConfig(repetition="maybe")


@pytest.mark.parametrize(
    ("config", "name"), [(MixtureConfig, "number_varies"), (TrainConfig, "own_levels")]
)
def test_flags_do_not_take_numbers(config, name):
    with pytest.raises(ValueError, match=f"{name} is 1; expected true or false"):
        config(**{name: 1})
