"""Python code for a mixture of the page *Full scale*, its prediction and its whole axis."""

from dataclasses import fields

from nmrclassify.mixtures.peaks import PeakMixtureConfig

LIBRARIES = ("synthetic", "metabolites")


def code(
    library: str,
    library_seed: int,
    unknown_seed: int,
    config: PeakMixtureConfig,
    seed: int,
    compound: int,
) -> str:
    """Return a program that draws the mixture, identifies it, and draws the whole axis.

    Parameters
    ----------
    library : str
        "synthetic" or "metabolites".
    library_seed, unknown_seed : int
        Of the synthetic library, and of the compounds from outside the library.
    seed : int
        Of the mixture.
    compound : int
        Index of the coloured compound.

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
    imports = [
        "from numpy.random import default_rng",
        "",
        "from nmrclassify.evaluation.identify import Detector",
        "from nmrclassify.mixtures.peaks import PeakMixtureConfig, draw_mixture",
        "from nmrclassify.nmr.axis import FULL_AXIS",
    ]
    synthetic = f"synthetic_compounds(SyntheticConfig(), default_rng({library_seed}))"
    metabolites = "second_order(common_metabolites(), FULL_AXIS.mhz)"
    lines = [f"compounds = {metabolites if library == 'metabolites' else synthetic}"]
    if library == "metabolites":
        imports += [
            "from nmrclassify.nmr.compound_files import common_metabolites",
            "from nmrclassify.nmr.spin_systems import second_order",
        ]
    if library == "synthetic" or config.n_unknown:
        imports.append("from nmrclassify.nmr.synthetic import SyntheticConfig, synthetic_compounds")
    if config.n_unknown:
        rng = f"default_rng({unknown_seed})"
        lines.append(f"unknown = synthetic_compounds(SyntheticConfig(n_compounds=200), {rng})")
    changed = ", ".join(
        f"{f.name}={getattr(config, f.name)!r}"
        for f in fields(config)
        if getattr(config, f.name) != f.default
    )
    imports += [
        "from nmrclassify.plots.spectrum import overview",
        "from nmrclassify.plots.spectrum_layers import spectrum_layers",
        "from nmrclassify.plots.style import Theme",
        "",
    ]
    lines += [
        f"config = PeakMixtureConfig({changed})",
        f"rng = default_rng([{seed}, 0])",
        "mixture = draw_mixture(compounds, config, rng, FULL_AXIS"
        f"{', unknown' if config.n_unknown else ''})",
        "prediction = Detector(compounds).identify(mixture.peaks)",
        "print([compounds.names[k] for k in prediction.named])",
        f"compound = {compound}",
        "layers = spectrum_layers(prediction, compound, mixture)",
        "places = prediction.places(prediction.multiplets_of(compound))",
        "figure = overview(layers, places, FULL_AXIS.low, FULL_AXIS.high, Theme())",
        "figure.show()",
        "",
    ]
    return "\n".join(imports + lines)
