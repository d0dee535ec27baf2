from nmrclassify import figures
from nmrclassify.answers import answer, compare
from nmrclassify.checkpoints import shipped
from nmrclassify.drawing import Theme
from nmrclassify.edits import Sample
from nmrclassify.presets import build

data = build("metabolites", seed=7)
model = shipped().model
plain = Sample.of(data.test_mixtures(), 11)  # test mixture 12
sample = plain
given = answer(model, sample.areas)
truth = compare(
    given, sample.areas, sample.sources, sample.labels, 1.0, sample.unknown, sample.concentrations
)
figure = figures.overview(
    sample.areas, given, data.library.names, data.library.axis, Theme(), truth
)
figure.show()
