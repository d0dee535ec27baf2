from nmrclassify import figures
from nmrclassify.checkpoints import shipped
from nmrclassify.drawing import Theme
from nmrclassify.edits import Sample
from nmrclassify.presets import build

data = build("metabolites", seed=7)
model = shipped().model
plain = Sample.of(data.test_mixtures(), 11)  # test mixture 12
sample = plain
figure = figures.area_maps(
    [("Mixture: 6 peaks x positions", sample.areas[None])],
    data.library.axis,
    Theme(),
    outputs=False,
)
figure.show()
