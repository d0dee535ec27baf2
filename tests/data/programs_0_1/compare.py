from nmrclassify import change_figures
from nmrclassify.checkpoints import shipped
from nmrclassify.contrast import contrast
from nmrclassify.drawing import Theme
from nmrclassify.edits import Sample
from nmrclassify.mixtures import MixtureConfig
from nmrclassify.presets import build


def side_a():
    data = build("metabolites", seed=7)
    model = shipped().model
    plain = Sample.of(data.test_mixtures(), 11)  # test mixture 12
    sample = plain
    return data, model, sample


def side_b():
    data = build(
        "metabolites",
        seed=7,
        mixture=MixtureConfig(concentration_low=0.5, concentration_high=2.0, noise=0.1),
    )
    model = shipped().model
    plain = Sample.of(data.test_mixtures(), 11)  # test mixture 12
    sample = plain
    return data, model, sample


(data, model_a, sample_a), (_, model_b, sample_b) = side_a(), side_b()
found = contrast((model_a, sample_a.areas), (model_b, sample_b.areas))
print(found.presence.round(3))  # A, B
figure = change_figures.multiplet_change(
    found, data.library.names, data.library.axis, Theme(), ("A", "B")
)
figure.show()
