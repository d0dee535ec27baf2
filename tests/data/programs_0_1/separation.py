from nmrclassify import figures
from nmrclassify.answers import answer
from nmrclassify.drawing import Theme
from nmrclassify.edits import Sample
from nmrclassify.presets import build
from nmrclassify.training import TrainConfig, Trainer

data = build("quick", seed=3)
trainer = Trainer(data, TrainConfig(batch_size=8), seed=3, kind="slots")
for _ in range(3):
    trainer.advance()
model = trainer.model
plain = Sample.of(data.test_mixtures(), 1)  # test mixture 2
sample = plain
given = answer(model, sample.areas)
figure = figures.area_maps(
    [("Separated by the network", given.multiplets)],
    data.library.axis,
    Theme(),
    headings=figures.headings(given, data.library.names, None),
    indices=given.outputs,
)
figure.show()
