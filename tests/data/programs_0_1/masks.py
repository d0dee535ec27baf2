from nmrclassify import figures
from nmrclassify.answers import answer
from nmrclassify.drawing import Theme
from nmrclassify.edits import Sample
from nmrclassify.mixtures import foreign_compounds, generator, mix_at, MixtureConfig, with_unknown
from nmrclassify.presets import build
from nmrclassify.training import model_for
from numpy import array, float32, ones

data = build("quick", seed=3, mixture=MixtureConfig(noise=0.05))
model = model_for(data, seed=3, kind="slots")  # untrained
labels, amounts = array([[0, 2, 5]]), array([[1.0, 1.0, 2.0]], dtype=float32)
mixtures = mix_at(data.library, labels, amounts, data.config, generator(data.seed, "view"))
stranger = foreign_compounds(data.library, 1, generator(data.seed, "unknown", 0))
plain = Sample.of(with_unknown(mixtures, stranger, ones(1)), 0)
sample = plain
given = answer(model, sample.areas)
figure = figures.mask_maps(
    [("Masks the network estimated", given.masks)],
    data.library.axis,
    Theme(),
    headings=figures.headings(given, data.library.names, None),
    indices=given.outputs,
)
figure.show()
