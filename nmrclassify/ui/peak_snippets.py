"""Python code that reproduces a mixture of the page Full scale, its answer and its picture of the whole axis."""

from dataclasses import fields

from nmrclassify.mixtures.peaks import PeakMixtureConfig

LIBRARIES = {
    "synthetic": (
        "from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds",
        "compounds = synthetic_compounds(SyntheticConfig(), default_rng({seed}))",
    ),
    "metabolites": (
        "from nmrclassify.nmr.compound_files import common_metabolites",
        "compounds = common_metabolites()",
    ),
}


def code(
    library: str,
    library_seed: int,
    unknown_seed: int,
    config: PeakMixtureConfig,
    seed: int,
    compound: int,
) -> str:
    """Return a program that draws the mixture, identifies it, and makes the picture of the whole axis as `figure`.

    Parameters
    ----------
    library : str
        "synthetic" or "metabolites".
    library_seed, unknown_seed : int
        Of the synthetic library, and of the compounds from outside the library.
    config : PeakMixtureConfig
    seed : int
        Of the mixture.
    compound : int
        Index of the compound that is coloured.

    Raises
    ------
    ValueError
        If the library is another one.
    """
    if library not in LIBRARIES:
        raise ValueError(
            f"library is {library!r}; expected {' or '.join(LIBRARIES)}: an uploaded one has no"
            " seed to draw it from"
        )
    imports, made = LIBRARIES[library]
    changed = ", ".join(
        f"{f.name}={getattr(config, f.name)!r}"
        for f in fields(config)
        if getattr(config, f.name) != f.default
    )
    unknown = "None"
    if config.n_unknown:
        unknown = "unknown"
        imports = LIBRARIES["synthetic"][0] + ("" if library == "synthetic" else f"\n{imports}")
    lines = [
        "from numpy import arange, nan_to_num",
        "from numpy.random import default_rng",
        "from nmrclassify.nmr.axis import FULL_AXIS",
        "from nmrclassify.plots.style import Theme",
        imports,
        "from nmrclassify.plots.spectrum import overview",
        "from nmrclassify.evaluation.identify import Detector",
        "from nmrclassify.mixtures.peaks import PeakMixtureConfig, draw_mixture",
        "from nmrclassify.plots.spectrum_layers import spectrum_layers",
        "",
        made.format(seed=library_seed),
        *(
            [
                "unknown = synthetic_compounds(SyntheticConfig(n_compounds=200),"
                f" default_rng({unknown_seed}))"
            ]
            if config.n_unknown
            else []
        ),
        (
            f"mixture = draw_mixture(compounds, PeakMixtureConfig({changed}), default_rng([{seed}, 0]),"
            f" FULL_AXIS, {unknown})"
        ),
        "found = Detector(compounds).identify(mixture.peaks)",
        "print([compounds.names[k] for k in found.named])",
        f"compound = {compound}",
        "multiplets = arange(*compounds.first_multiplet[compound : compound + 2])",
        "places = compounds.ppm[multiplets] + nan_to_num(found.shifts[multiplets])",
        (
            "figure = overview(spectrum_layers(found, compound, mixture), places, FULL_AXIS.low,"
            " FULL_AXIS.high, Theme())"
        ),
        "figure.show()",
        "",
    ]
    return "\n".join(lines)
