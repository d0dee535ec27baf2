from nmrclassify import inside, inside_figures
from nmrclassify.checkpoints import shipped
from nmrclassify.drawing import Theme
from nmrclassify.edits import Sample
from nmrclassify.presets import build

data = build("metabolites", seed=7)
model = shipped().model
plain = Sample.of(data.test_mixtures(), 11)  # test mixture 12
sample = plain
cell = inside.Cell(output=0, filter=0, position=0)
trace = inside.trace_cell(model, sample.areas, cell)
figure = inside_figures.cell_trace(
    trace, data.library.names, model.kind, data.library.axis, Theme()
)
figure.show()
