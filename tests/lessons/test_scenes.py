"""Each scene shows what its title says."""

import numpy as np
import pytest

from nmrclassify.evaluation import masks
from nmrclassify.evaluation.prediction import match_mixture
from nmrclassify.lessons import LESSONS
from nmrclassify.lessons.facts import packaged_facts
from nmrclassify.lessons.scenes import DRIFT, SCENES
from nmrclassify.mixtures.presets import build
from nmrclassify.mixtures.spec import MixtureSpec
from nmrclassify.training import checkpoints
from nmrclassify.ui.places import PAGES
from nmrclassify.ui.url_parameters import PARAMETERS

BY_TITLE = {scene.title: scene for scene in SCENES}


def opened(title, spec=None):
    """Return the scene, its model, mixture, prediction and truth; `spec` replaces the mixture."""
    scene = BY_TITLE[title]
    checkpoint = checkpoints.shipped(scene.model, "metabolites")
    sample = (spec or scene.spec).realise().sample
    prediction = checkpoint.model.predict(sample.areas)
    weight = checkpoint.training.reconstruction_weight
    return scene, checkpoint.model, sample, prediction, match_mixture(prediction, sample, weight)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.title)
def test_a_scene_is_a_link_to_a_page(scene):
    assert scene.page in PAGES
    for key, text in scene.link().items():
        PARAMETERS[key].parse(text)


def test_slots_against_queries():
    title = "Slots against queries"
    scene, slots, _, prediction, truth = opened(title)
    assert len(prediction.outputs) == 3 and not slots.outputs_are_classes
    assert prediction.all_right(truth)
    other = checkpoints.shipped(scene.state["model_b"], "metabolites")
    sample = scene.spec.realise().sample
    prediction = other.model.predict(sample.areas)
    assert other.model.outputs_are_classes
    weight = other.training.reconstruction_weight
    assert prediction.all_right(match_mixture(prediction, sample, weight))


def test_two_compounds_collide():
    scene, model, sample, prediction, truth = opened("Two compounds collide")
    position = int(scene.state["position"])
    shared = (sample.sources.sum(axis=1) > 0).sum(axis=0)
    assert np.flatnonzero(shared > 1).tolist() == [position]
    names = build("metabolites", 7).library.names
    at = sample.labels[sample.sources[:, :, position].any(axis=1)]
    assert {names[k] for k in at} == {"lactate", "valine"}
    true = masks.true_shares(sample, truth)
    read = masks.shares_from_masks(prediction.masks, masks.multiplet_encodings(model, sample.areas))
    assert np.sort(true[:, position])[-2] > 0.25  # both are visible in the bar
    assert read[:, position] == pytest.approx(true[:, position], abs=0.05)
    assert prediction.all_right(truth)


def test_peaks_drift():
    scene, _, sample, prediction, truth = opened("Peaks drift")
    assert scene.spec.mixing.shift_jitter == DRIFT
    assert not prediction.all_right(truth)
    names = build("metabolites", 7).library.names
    named = {names[k] for k in prediction.named}
    assert {names[k] for k in sample.labels} - named == {"alanine"}
    assert "lactate" in named
    _, _, still, calm, its_truth = opened("Peaks drift", MixtureSpec(number=scene.spec.number))
    assert calm.all_right(its_truth)
    assert (still.labels == sample.labels).all()


def test_a_compound_that_nobody_listed():
    scene, _, sample, prediction, truth = opened("A compound that nobody listed")
    assert scene.spec.unknown
    assert sample.unknown.any()
    assert prediction.all_right(truth)  # of the library's three, and the unknown
    assert prediction.probabilities[0, -1] > 0.9


def test_ten_mixtures_learnt_by_heart():
    state = BY_TITLE["Ten mixtures learnt by heart"].state
    step = LESSONS[state["lesson"]].steps[int(state["lesson_step"]) - 1]
    assert step.page == BY_TITLE["Ten mixtures learnt by heart"].page
    facts = packaged_facts(step.facts)
    assert facts["n_ten"] == 10
    assert facts["few_training"] > 0.99
    assert facts["few_unseen"] < 0.7


def test_the_mask_that_got_it_wrong():
    scene, model, sample, prediction, truth = opened("The mask that got it wrong")
    names = build("metabolites", scene.spec.seed).library.names
    called, position = [names[k] for k in prediction.named], int(scene.state["position"])
    assert set(called) == {"creatinine", "citrate", "glycine"}
    creatinine, glycine = called.index("creatinine"), called.index("glycine")
    assert str(prediction.outputs[creatinine] + 1) == scene.state["output"]
    true = masks.true_shares(sample, truth)
    read = masks.shares_from_masks(prediction.masks, masks.multiplet_encodings(model, sample.areas))
    assert np.flatnonzero(masks.wrong_owners(read, true)).tolist() == [position]  # the one with ✗
    assert true[glycine, position] == 1
    assert read[creatinine, position] > read[glycine, position] + 0.1
    assert true[creatinine, [position - 1, position + 1]].tolist() == [1, 1]
    ideal = masks.ideal_masks_of_outputs(model, sample, truth)
    away = np.abs((prediction.masks - ideal) * prediction.encoding)[creatinine, :, position]
    assert str(away.argmax()) == scene.state["filter"]
    assert prediction.all_right(truth)
