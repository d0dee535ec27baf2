from nmrclassify import figures
from nmrclassify.checkpoints import shipped
from nmrclassify.drawing import Theme
from nmrclassify.edits import Sample
from nmrclassify.metrics import evaluate
from nmrclassify.presets import build

data = build("metabolites", seed=7)
model = shipped().model
plain = Sample.of(data.test_mixtures(), 11)  # test mixture 12
sample = plain
result = evaluate(model, data.test_mixtures())
print(result.summary())
counts = result.confusion()
names = (*data.library.names, "nothing")[: len(counts)]
figure = figures.confusion(counts, names, Theme())
figure.show()
