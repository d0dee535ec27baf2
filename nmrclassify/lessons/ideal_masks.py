"""Lesson: overlapping compounds, and the separation that ideal masks give."""

import numpy as np
import plotly.graph_objects as go
import torch

from nmrclassify.evaluation.masks import ideal_ratio_masks
from nmrclassify.evaluation.metrics import evaluate, si_sdr_improvement
from nmrclassify.lessons.example_mixture import STATE, example_mixture
from nmrclassify.lessons.figures import bars
from nmrclassify.lessons.lesson import Facts, Lesson, Report, Step, computation, nearest
from nmrclassify.lessons.progress import part_of
from nmrclassify.mixtures.grid import Mixtures
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.plots.style import Theme
from nmrclassify.training.checkpoints import Checkpoint

PAGE = "pages/masks.py"
SHARED_PPM = 3.54  # quartet of ethanol, singlet of glycine


@torch.inference_mode()
def separated_with(model: Network, mixture: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return what a network separates with the masks that it gets instead of its own.

    Parameters
    ----------
    mixture : ndarray, shape (P, L), float32
    masks : ndarray, shape (M, N, L)
        With queries M has to be K + 1, as many as the network has outputs.

    Returns
    -------
    ndarray, shape (M, P, L)
    """
    masks_of_all = torch.from_numpy(masks)[None]  # (B, M, N, L)
    _, intermediates = model(torch.from_numpy(mixture)[None], lambda _: masks_of_all)
    return intermediates.multiplets[0].numpy()


def measure(checkpoint: Checkpoint, mixtures: Mixtures, report: Report) -> dict[str, np.ndarray]:
    """Measure for each source its gain in dB with the masks of the network and with ideal masks.

    Returns
    -------
    dict
        "network" and "ideal": the gains; "overlap": the share of the area of each source in
        positions that another source fills as well. All of shape (sources of all mixtures,).
    """
    model, sources = checkpoint.model, mixtures.by_compound(mixtures.sources)  # (B, K, P, L)
    gains = evaluate(model, mixtures).si_sdr_improvement
    measured: dict[str, list[np.ndarray]] = {"network": [], "ideal": [], "overlap": []}
    for i in range(len(mixtures)):
        report(i / len(mixtures), f"ideal masks: mixture {i + 1} of {len(mixtures)}")
        mixture, present = mixtures.areas[i], mixtures.labels[i]
        # The last output stands for unknown compounds, of which there are none.
        all_sources = np.concatenate([sources[i], np.zeros_like(sources[i, :1])])
        ideal = separated_with(model, mixture, ideal_ratio_masks(model, all_sources))[:-1]
        true = sources[i, present]
        measured["network"].append(gains[i, present])
        measured["ideal"].append(si_sdr_improvement(ideal[present], mixture[None], true))
        area = true.sum(axis=1)  # (C, L)
        shared = (area > 0).sum(axis=0) > 1
        measured["overlap"].append(area[:, shared].sum(axis=1) / area.sum(axis=1))
    return {name: np.concatenate(values) for name, values in measured.items()}


@computation(seconds=0.5)
def ideal_masks(report: Report) -> Facts:
    """Compare ideal masks with those of the network, in one cell and over all test compositions."""
    report(0.0, "running the network")
    example = example_mixture()
    model, truth = example.checkpoint.model, example.truth
    position = example.library.axis.position(SHARED_PPM)
    ethanol, glycine = example.output("ethanol"), example.output("glycine")
    encoded = model.encode(torch.from_numpy(truth.sources)).detach().numpy()  # (M, N, L)
    both = encoded[[ethanol, glycine], :, position]  # (2, N)
    clear = np.abs(both).min(axis=0) > 0.1 * np.abs(both).max()
    n_opposed, n_clear = int((clear & (both[0] * both[1] < 0)).sum()), int(clear.sum())
    whole = model.encode(torch.from_numpy(example.areas[None])).detach().numpy()[0]
    sum_error = float(np.abs(whole - encoded.sum(axis=0)).max())
    # A filter that reacts to both compounds, with different strengths.
    share = np.abs(both[1]) / np.abs(both).sum(axis=0)
    row = int(np.argmin(np.where(clear, np.abs(share - 0.3), np.inf)))
    strengths = (float(abs(both[0, row])), float(abs(both[1, row])))
    others = np.delete(encoded, [ethanol, glycine], axis=0)
    neighbour = float(np.abs(others[:, row, position]).sum())
    ideal = float(ideal_ratio_masks(model, truth.sources)[glycine, row, position])
    glycine_share = strengths[1] / (sum(strengths) + neighbour)

    test = example.checkpoint.dataset.test_mixtures()
    measured = measure(example.checkpoint, test, part_of(report, 0.1, 1.0))
    alone = measured["overlap"] == 0
    n_alone, n_overlapping = int(alone.sum()), int((~alone).sum())
    network, ideals = (
        [float(np.nanmedian(measured[name][rows])) for rows in (alone, ~alone)]
        for name in ("network", "ideal")
    )
    report(1.0, "done")
    return {
        "n_mixtures": len(test),
        "n_shared": len(example.shared),
        "n_filled": int(example.areas.any(axis=0).sum()),
        "n_alone": n_alone,
        "n_overlapping": n_overlapping,
        "n_compounds": n_alone + n_overlapping,
        "some_compounds_overlap": 0 < n_overlapping < n_alone + n_overlapping,
        "filter": row,
        "ethanol": strengths[0],
        "glycine": strengths[1],
        "neighbour": neighbour,
        "ideal": ideal,
        "rest": 1 - ideal,
        "ideal_option": nearest((strengths[1], ideal, 1 - ideal, 0.5), glycine_share),
        "ideal_is_the_share": abs(ideal - glycine_share) < 1e-4,
        "n_filters": both.shape[1],
        "n_clear": n_clear,
        "n_opposed": n_opposed,
        "opposed_option": 0 if n_opposed == 0 else 1,
        "none_are_opposed": n_opposed == 0 < n_clear,
        "sum_error": max(sum_error, 1e-7),
        "encodings_add_up": sum_error < 1e-4,
        "network_gains": network,
        "ideal_gains": ideals,
        "network_cost": network[0] - network[1],
        "ideal_cost": ideals[0] - ideals[1],
        "gains_option": 2 if network[1] > ideals[1] else 3,
        "overlap_costs": network[0] > network[1] and ideals[0] > ideals[1],
    }


def draw_gains(facts: Facts, theme: Theme) -> go.Figure:
    """Draw the median gains of compounds that stand alone and of those that overlap."""
    return bars(
        ["alone", "overlapping"],
        {
            "masks of the network": np.array(facts["network_gains"]),
            "ideal ratio masks": np.array(facts["ideal_gains"]),
        },
        "compounds in the test mixtures",
        "closer to the truth by (dB)",
        theme,
    )


LESSON = Lesson(
    name="overlap",
    title="Overlap and ideal masks",
    aim="You will know what an ideal mask is, and why even ideal masks do not separate perfectly.",
    steps=(
        Step(
            title="Compounds often overlap",
            page="pages/mixtures.py",
            state=STATE,
            target="spectrum",
            facts=ideal_masks,
            text="""In this mixture, {n_shared} of {n_filled} filled positions hold two compounds.
                Look for the sticks with two colours. There are {n_mixtures} test mixtures of three
                compounds each. *Previous* and *Next* show the others.""",
            question="""How many of all their compounds share a position with another compound of
                the same mixture?""",
            options=(
                "0 of {n_compounds}",
                "{n_overlapping} of {n_compounds}",
                "{n_compounds} of {n_compounds}",
            ),
            answer=1,
            reveal="""{n_overlapping} of {n_compounds} compounds overlap, with only three compounds
                in a mixture. A real sample holds dozens of compounds, and almost all of them
                overlap.""",
            claims={
                "some_compounds_overlap": """{n_overlapping} of the {n_compounds} compounds in the
                    test mixtures overlap with another one."""
            },
        ),
        Step(
            title="An ideal mask is a share",
            page=PAGE,
            state=STATE,
            target="masks",
            facts=ideal_masks,
            text="""Below each mask of the network is the **ideal ratio mask**. It is computed from
                the true compounds: each compound gets its share of a cell. Take filter
                {filter} between 3.5 and 4 ppm. There, pure ethanol has the strength {ethanol:.2f}
                and pure glycine has {glycine:.2f}. Lactate is in the next position and adds
                {neighbour:.2f}.""",
            question="What is the ideal mask of glycine in this cell?",
            options=("{glycine:.2f}", "{ideal:.2f}", "{rest:.2f}", "0.50"),
            answer="ideal_option",
            reveal="""{glycine:.2f} / ({ethanol:.2f} + {glycine:.2f} + {neighbour:.2f}) =
                {ideal:.2f}. To compute an ideal mask, one must know the true compounds. So ideal
                masks are good for comparison, but they are not a method of separation.""",
            claims={
                "ideal_is_the_share": """The ideal ratio mask is the share of glycine in the
                    strengths, {ideal:.3f}."""
            },
        ),
        Step(
            title="Why an ideal mask can separate",
            page=PAGE,
            state=STATE,
            target="masks",
            facts=ideal_masks,
            text="""If a filter reacted to one compound with a positive number and to another with a
                negative number, the two would partly cancel in the mixture. No mask from 0 to 1
                could restore them. Between 3.5 and 4 ppm, {n_clear} of {n_filters} filters react
                clearly to both ethanol and glycine.""",
            question="How many of these filters react to the two compounds in opposite directions?",
            options=("None", "About half", "All"),
            answer="opposed_option",
            reveal="""None: peak areas are never negative, and the weights of this encoder are not
                either. So the encoding of a mixture is the sum of the encodings of its compounds,
                and no part is larger than the sum. A mask from 0 to 1 can restore the encoding of
                each compound exactly.""",
            claims={
                "none_are_opposed": """{n_opposed} of {n_clear} filters that react clearly to both
                    compounds react in opposite directions.""",
                "encodings_add_up": """The encodings of the compounds add up to that of the mixture
                    (to {sum_error:.0e}).""",
            },
        ),
        Step(
            title="Masks of the network and ideal masks",
            page="pages/lessons.py",
            facts=ideal_masks,
            text="""We replace the masks of the network by ideal masks, and it decodes the
                result. The bars show by how many decibels (dB) the compounds come closer to the
                truth. Each bar is a median (the middle value): of {n_alone} compounds that stand
                alone, or of {n_overlapping} that overlap, in the {n_mixtures} test mixtures.""",
            question="What do the bars show?",
            options=(
                "Overlap makes no difference",
                "Ideal masks separate overlapping compounds perfectly",
                "Overlap costs with both kinds of masks; here the masks of the network are better",
                "Overlap costs with both kinds of masks; here the ideal masks are better",
            ),
            answer="gains_option",
            reveal="""Overlapping compounds gain {network_gains[1]:.0f} dB with the masks of the
                network and {ideal_gains[1]:.0f} dB with ideal masks. Compounds that stand alone
                gain {network_gains[0]:.0f} and {ideal_gains[0]:.0f} dB. *Ideal* means a true share
                of each cell. It does not mean a perfect result: the decoder turns encodings into
                multiplets only approximately.""",
            claims={
                "overlap_costs": """Overlap costs {network_cost:.0f} dB with the masks of the
                    network and {ideal_cost:.0f} dB with ideal masks."""
            },
            figure=draw_gains,
            alt="""Bars of the median gain. Masks of the network: alone {network_gains[0]:.0f} dB,
                overlapping {network_gains[1]:.0f} dB. Ideal masks: alone {ideal_gains[0]:.0f} dB,
                overlapping {ideal_gains[1]:.0f} dB""",
        ),
    ),
)
