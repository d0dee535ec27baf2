from nmrclassify import curves
from nmrclassify.bench.robustness import measured, SWEEPS
from nmrclassify.checkpoints import shipped
from nmrclassify.drawing import Theme
from nmrclassify.edits import Sample
from nmrclassify.presets import build

data = build("metabolites", seed=7)
model = shipped().model
plain = Sample.of(data.test_mixtures(), 11)  # test mixture 12
sample = plain
results = measured()
rows = curves.over_seeds(results[results["sweep"] == "shift_jitter"])
figure = curves.robustness(rows, SWEEPS["shift_jitter"].title, Theme())
figure.show()
