from numpy import arange, nan_to_num
from numpy.random import default_rng
from nmrclassify.axis import FULL_AXIS
from nmrclassify.drawing import Theme
from nmrclassify.synthetic import SyntheticConfig, synthetic_compounds
from nmrclassify.scale.figures import overview
from nmrclassify.scale.identify import Detector
from nmrclassify.scale.mixtures import ScaleConfig, draw
from nmrclassify.scale.spectrum import layers

compounds = synthetic_compounds(SyntheticConfig(), default_rng(7))
foreign = synthetic_compounds(SyntheticConfig(n_compounds=200), default_rng(8))
mixture = draw(
    compounds,
    ScaleConfig(n_low=12, n_high=12, jitter=0.003, n_foreign=1),
    default_rng([3, 0]),
    FULL_AXIS,
    foreign,
)
found = Detector(compounds).identify(mixture.peaks)
print([compounds.names[k] for k in found.named])
compound = 5
multiplets = arange(*compounds.first_multiplet[compound : compound + 2])
places = compounds.ppm[multiplets] + nan_to_num(found.shifts[multiplets])
figure = overview(layers(found, compound, mixture), places, FULL_AXIS.low, FULL_AXIS.high, Theme())
figure.show()
