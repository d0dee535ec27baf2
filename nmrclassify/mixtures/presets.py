"""Named recipes for data sets: `original`, `quick` and `metabolites`."""

from dataclasses import dataclass

from nmrclassify.mixtures.dataset import Dataset, split
from nmrclassify.mixtures.grid import MixtureConfig, generator
from nmrclassify.nmr.library import Library, LibraryConfig, metabolite_library, random_library


@dataclass(frozen=True)
class Preset:
    """Which library, how it is mixed, and how many compositions are for training and test."""

    title: str
    description: str
    library: LibraryConfig | None  # None: the packaged metabolites
    mixture: MixtureConfig
    n_train: int | None = None  # None: all that are not held out
    n_test: int | None = None
    first: int = 1  # the test mixture that is shown first, counted from 1


PRESETS = {
    "metabolites": Preset(
        "Metabolites (real compounds)",
        "Ten common metabolites with published chemical shifts, on 21 positions of 0.5 ppm.",
        None,
        MixtureConfig(concentration_low=0.5, concentration_high=2.0),
        # Ethanol, glycine and lactate: two pairs share a position, and the shipped model names all
        # three (a test checks it).
        first=12,
    ),
    "quick": Preset(
        "Quick (random compounds)",
        "Ten random compounds; training mixtures are drawn afresh from 70 % of the compositions.",
        LibraryConfig(),
        MixtureConfig(),
    ),
    "original": Preset(
        "Original (10 training mixtures)",
        "The design document's data: ten random compounds, ten mixtures to train on and ten to"
        " test.",
        LibraryConfig(),
        MixtureConfig(),
        n_train=10,
        n_test=10,
    ),
}


def preset(name: str) -> Preset:
    """Return the preset called `name`.

    Raises
    ------
    ValueError
        If there is none.
    """
    if name not in PRESETS:
        raise ValueError(f"preset is {name!r}; expected one of {', '.join(PRESETS)}")
    return PRESETS[name]


def build(
    name: str, seed: int, mixture: MixtureConfig | None = None, library: Library | None = None
) -> Dataset:
    """Build the data set of a preset, or with another `mixture` or `library`.

    With another library, the data set's preset is "own".
    """
    recipe = preset(name)
    if library is not None:
        return split(library, mixture or recipe.mixture, seed, recipe.n_train, recipe.n_test, "own")
    library = (
        metabolite_library()
        if recipe.library is None
        else random_library(recipe.library, generator(seed, "library"))
    )
    return split(library, mixture or recipe.mixture, seed, recipe.n_train, recipe.n_test, name)
