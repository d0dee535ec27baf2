from nmrclassify import change_figures
from nmrclassify.checkpoints import shipped
from nmrclassify.contrast import contrast
from nmrclassify.drawing import Theme
from nmrclassify.edits import apply, from_text, Sample
from nmrclassify.presets import build

data = build("metabolites", seed=7)
model = shipped().model
plain = Sample.of(data.test_mixtures(), 11)  # test mixture 12
sample = apply(plain, from_text("add_5_d_2~amount_4_0"), data.library)
found = contrast((model, plain.areas), (model, sample.areas))
print(found.presence.round(3))  # before, after
figure = change_figures.multiplet_change(found, data.library.names, data.library.axis, Theme())
figure.show()
