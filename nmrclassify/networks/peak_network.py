"""The network of full scale: which compounds of a library are in a mixture of peaks, and how much.

Its input is the hypotheses of `amount_hypotheses`: "compound k is here with amount x". It estimates
in two stages which of them are true.

1. `Screening` scores all K x H hypotheses by a few numbers of each. The likeliest enter the rounds.
2. `Round` scores these again, by every line of every multiplet. At each line it compares the area
   that the hypothesis expects with the area that is there, and with the area that remains when
   all other compounds are subtracted. For this it uses the probabilities and amounts of the round
   before: one compound explains a peak away from another. Features of lines are pooled to those of
   places, multiplets and hypotheses, and become a logit and a corrected amount.

A compound's hypotheses and its absence exclude each other, as the classes of a softmax do.
`identify.ratio_masks` computes masks from the amounts and places.

No weight belongs to a compound, and all inputs are relative: to the amount, to the spread of the
shifts, to the smallest peak. So the network works with any library, also one not used in
training.

References
----------
.. [1] M. Zaheer et al., "Deep Sets", NeurIPS 2017: pooling over sets.
.. [2] Y. Luo and N. Mesgarani, "Conv-TasNet", IEEE/ACM TASLP 27(8), 2019: masks that share out a
   mixture.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from math import log

import torch
from torch import Tensor, nn

from nmrclassify.config import bounded, check
from nmrclassify.networks.amount_hypotheses import AmountHypotheses
from nmrclassify.networks.candidates import Candidates, first_place_attention, gather_candidates
from nmrclassify.networks.templates import TOLERANCE, Templates, segment_sum, within

# Where peaks occupy much of the axis, more hypotheses fit by chance, and the right ones are further
# down the list. So `judged` and `kept` of `PeakNetworkConfig` are multiplied by a factor,
# (occupied share - UNCROWDED) / CROWDED_STEP: 1 up to a share of 0.4, 2 at 0.5. The limit for
# `judged` is lower, because it is the larger number and costs more time.
UNCROWDED, CROWDED_STEP = 0.3, 0.1
MOST_JUDGED, MOST_KEPT = 2.0, 3.0  # times as many


@dataclass(frozen=True)
class PeakNetworkConfig:
    """Sizes of the network. The names are stored in its files."""

    lines: int = bounded(16, 2, 256, "features of a line")
    places: int = bounded(24, 2, 256, "features of a place, and of a multiplet")
    hypotheses: int = bounded(48, 2, 512, "features of a hypothesis")
    rounds: int = bounded(5, 1, 8, "rounds of explaining away")
    judged: int = bounded(1536, 16, 16384, "hypotheses of the first round")
    judged_places: int = bounded(2, 1, 24, "places of each multiplet in the first round")
    kept: int = bounded(384, 16, 16384, "hypotheses of the later rounds")
    kept_places: int = bounded(5, 1, 24, "places of each multiplet in the later rounds")
    context: int = bounded(
        3, 0, 3, "numbers on the whole mixture that a hypothesis gets; 0 in version 0.1"
    )

    def __post_init__(self) -> None:
        """Check the bounds."""
        check(self)


@dataclass
class PeakNetworkOutput:
    """The output for one mixture, and what the loss needs of each round."""

    presence: Tensor  # (K,) logits
    log_amounts: Tensor  # (K,) relative to the unit of the hypotheses
    candidates: Candidates  # of the last round
    screening: Tensor  # (K, H) logits
    rounds: list[dict[str, Tensor]] = field(repr=False)  # logit, log_amount, attention, score
    round_candidates: list[Candidates] = field(repr=False)
    masks: Tensor | None = field(repr=False)  # (V,) logits of each line's share; in training only
    best: Tensor = field(repr=False)  # (K,) likeliest candidate of each compound, -1 without one


def _mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _pool(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Return mean, least and greatest of the rows of each group, shape (size, 3 F)."""
    zeros = torch.zeros(size, values.shape[1], device=values.device)
    count = zeros[:, :1].index_add(0, index, torch.ones_like(values[:, :1])).clamp(min=1)
    mean = zeros.index_add(0, index, values) / count
    wide = index[:, None].expand_as(values)
    least = zeros.scatter_reduce(0, wide, values, "amin", include_self=False)
    greatest = zeros.scatter_reduce(0, wide, values, "amax", include_self=False)
    return torch.cat([mean, least, greatest], 1)


def _likeliest(logits: Tensor, count: int) -> Tensor:
    """Return the indices of the `count` highest logits, ascending."""
    return logits.detach().topk(min(count, len(logits))).indices.sort().values


class Screening(nn.Module):
    """Score all K x H hypotheses without their single lines."""

    def __init__(self, config: PeakNetworkConfig):
        super().__init__()
        d = config.places
        self.multiplets = _mlp(6, d, d)
        self.hypotheses = _mlp(3 * d + 6, config.hypotheses, 1)

    def forward(self, hypotheses: AmountHypotheses) -> Tensor:
        """Return logits, shape (K, H)."""
        t = hypotheses.templates
        n_compounds, n_columns = hypotheses.log_amounts.shape
        # Features of each multiplet for each hypothesis of its compound.
        x = hypotheses.log_amounts[t.owner]  # (M, H)
        near, anywhere = hypotheses.likelihoods.unbind(2)
        over = hypotheses.bounds[:, None, :8] - x[:, :, None]  # (M, H, 8 places)
        score = hypotheses.scores[:, None, :8] - 0.5 * (over.clamp(-0.8, 0.8) / 0.2) ** 2
        best = score.max(2)
        above_floor = x + (t.total[:, None] / t.n_lines[:, None] / hypotheses.floor).log()
        features = [
            (near - anywhere) / 3,
            anywhere / 3,
            best.values / 5,
            over.gather(2, best.indices[:, :, None])[:, :, 0].clamp(-2, 3),
            above_floor.clamp(-2, 8) / 4,
            t.n_lines[:, None].expand_as(x).clamp(max=8) / 4,
        ]
        embedded = self.multiplets(torch.stack(features, 2))  # (M, H, d)
        pooled = _pool(embedded.flatten(1), t.owner, n_compounds)  # (K, 3 H d)
        pooled = pooled.view(n_compounds, 3, n_columns, -1).transpose(1, 2).flatten(2)
        # Features of each hypothesis.
        votes, amounts = hypotheses.votes, hypotheses.log_amounts
        features = [
            votes.clamp(min=-60) / 20,
            (votes - votes[:, :1]).clamp(min=-20) / 5,
            amounts / 4,
            (amounts - log(hypotheses.floor)) / 4,
            t.first_multiplet.diff()[:, None].expand_as(votes).log(),
            torch.full_like(votes, log(hypotheses.spread / 0.01)),
        ]
        return self.hypotheses(torch.cat([pooled, torch.stack(features, 2)], 2))[..., 0]


class Round(nn.Module):
    """Score candidates by their lines and the area that other compounds leave in the mixture."""

    def __init__(self, config: PeakNetworkConfig):
        super().__init__()
        a, d, h = config.lines, config.places, config.hypotheses
        self.context = config.context
        self.lines = _mlp(6, a, a)
        self.places = _mlp(a + 2 + 4 + 3, d, d)
        self.attention = nn.Linear(d, 1)
        self.multiplets = _mlp(d + 6, d, d)
        self.hypotheses = _mlp(3 * d + 8 + config.context, h, h)
        self.out = nn.Linear(h, 2)

    def forward(
        self, hypotheses: AmountHypotheses, candidates: Candidates, state: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        """Return the next state.

        Parameters
        ----------
        state : dict
            Of the round before, with the numbers that `PeakNetwork` adds.

        Returns
        -------
        dict
            logit and log_amount (J,), attention and score (U, N), and the features of lines (V, a),
            places (U, N, d) and hypotheses (J, h).
        """
        t, c, floor = hypotheses.templates, candidates, hypotheses.floor
        log_amount, spread = state["log_amount"], state["spread"]
        # Lines: the expected area beside the area that is there, with and without the others.
        area, narrow_area = hypotheses.areas[c.position], hypotheses.narrow_areas[c.position]
        others = state["others"]
        amount = log_amount.exp()[c.hypothesis[c.place // c.n_places]]
        expected = amount * c.expected_area + floor
        ratio = ((area + floor) / expected).log().clamp(-3, 3)
        left = ((area - others) / expected).clamp(-1, 4)
        features = [
            ratio,
            left,
            (others / (area + floor)).clamp(0, 3),
            (expected / floor).log() / 4,
            ((narrow_area + floor) / expected).log().clamp(-3, 3),
            c.share,
        ]
        lines = self.lines(torch.stack(features, 1))  # (V, a)

        # Places: their lines, their fit, and their distance from the other multiplets' shifts.
        pooled = segment_sum(lines * c.share[:, None], c.lines_per_place)
        worst = torch.segment_reduce(
            torch.stack([ratio, left], 1), "min", lengths=c.lines_per_place, axis=0
        )
        spreads = t.spreads(spread)[c.multiplet, None]
        far = (c.shift / spreads).clamp(-4, 4)
        apart = ((c.shift - state["mean_shift"][c.hypothesis, None]) / spreads).clamp(-4, 4)
        distances = torch.stack([far, 0.3 * far**2, 0.3 * apart**2], 2)
        count = c.shift.numel()
        inputs = [pooled, worst, c.place_features.view(count, -1), distances.view(count, -1)]
        places = self.places(torch.cat(inputs, 1)).view(*c.shift.shape, -1).relu()  # (U, N, d)
        missing = c.place_features[..., 3]
        score = self.attention(places)[..., 0] - 1e3 * missing
        attention = score.softmax(1)  # (U, N)

        # Multiplets: the mean of their places.
        column = c.column[c.hypothesis][:, None, None].expand(-1, 1, 2)
        likelihoods = hypotheses.likelihoods[c.multiplet].gather(1, column)[:, 0]
        total = (log_amount[c.hypothesis] + (t.total[c.multiplet] / floor).log()) / 4
        inputs = [
            (attention[..., None] * places).sum(1),
            likelihoods / 3,
            total[:, None],
            t.n_lines[c.multiplet, None].clamp(max=8) / 4,
            t.protons[c.multiplet, None].log(),
            score.logsumexp(1, keepdim=True).clamp(-20, 20) / 5,
        ]
        multiplets = self.multiplets(torch.cat(inputs, 1))  # (U, d)

        # Hypotheses: their multiplets, and the state before.
        probabilities = state["probabilities"]
        features = [
            state["logit"] / 5,
            probabilities,
            log_amount / 4,
            (log_amount - log(floor)) / 4,
            t.first_multiplet.diff()[c.compound].log(),
            torch.log(spread / 0.01).expand_as(log_amount),
            (probabilities.sum() / 50).expand_as(log_amount),
            state["other_hypotheses"],
        ]
        context = [
            state["explained"].expand_as(log_amount),
            torch.full_like(log_amount, log(t.tolerance / TOLERANCE)),
            hypotheses.occupied.log().expand_as(log_amount),
        ]
        features += context[: self.context]
        pooled = _pool(multiplets, c.hypothesis, len(log_amount))
        inputs = [pooled, torch.stack(features, 1)]
        embedded = self.hypotheses(torch.cat(inputs, 1)).relu()  # (J, h)
        logit, correction = self.out(embedded).unbind(1)
        return {
            "logit": logit,
            "log_amount": c.log_amount + 0.3 * torch.tanh(correction),
            "attention": attention,
            "score": score,
            "lines": lines,
            "places": places,
            "hypotheses": embedded,
        }


def compete(compound: Tensor, logit: Tensor, n_compounds: int) -> tuple[Tensor, Tensor]:
    """Return a softmax over each compound's hypotheses and its absence, whose logit is 0.

    Returns
    -------
    probabilities : Tensor, shape (J,)
    log_absent : Tensor, shape (K,)
        Log probability that the compound is absent.
    """
    zeros = torch.zeros(n_compounds, device=logit.device)
    highest = zeros.scatter_reduce(0, compound, logit.detach(), "amax").clamp(min=0)
    sums = zeros.index_add(0, compound, (logit - highest[compound]).exp())
    norm = ((-highest).exp() + sums).log() + highest  # log(1 + sum of exp)
    return (logit - norm[compound]).exp(), -norm


def area_of_others(
    hypotheses: AmountHypotheses, candidates: Candidates, state: dict[str, Tensor]
) -> tuple[Tensor, Tensor]:
    """Return the areas that are expected of other compounds, and what all of them explain.

    The expected area of a hypothesis is its probability times its amount.

    Returns
    -------
    others : Tensor, shape (V,)
        Area near each line that other compounds are expected to bring.
    explained : Tensor, scalar
        Share of the mixture's area that all compounds explain.
    """
    t, c = hypotheses.templates, candidates
    mean_amount = state["probabilities"] * state["log_amount"].exp()
    weight = mean_amount[c.hypothesis, None] * state["attention"]  # (U, N)
    areas = weight.flatten()[c.place] * t.line_areas[c.line]
    dense = torch.zeros(t.axis.n_positions, device=areas.device).index_add_(0, c.position, areas)
    near = within(dense, t.reach)
    explained = torch.minimum(near, hypotheses.areas).sum() / hypotheses.areas.sum()
    total = near[c.position]
    zero = torch.zeros(1, dtype=torch.float64, device=areas.device)
    sums = torch.cat([zero, areas[c.order].double().cumsum(0)])
    low, high = c.same_compound
    return (total - (sums[high] - sums[low]).float()).clamp(min=0), explained


def _spread(
    templates: Templates,
    candidates: Candidates,
    probabilities: Tensor,
    attention: Tensor,
    spread: Tensor,
) -> Tensor:
    """Return the standard deviation of the shifts of the likely candidates, in ppm.

    The shift of a multiplet whose place is not well known is scaled from its own standard deviation
    to `spread`, the one before.
    """
    likely = probabilities * (probabilities > 0.3)
    weight = likely[candidates.hypothesis, None] * attention
    shift = candidates.shift * (spread / templates.spreads(spread))[candidates.multiplet, None]
    variance = (weight * shift**2).sum() / weight.sum().clamp(min=1e-6)
    return variance.sqrt().clamp(0.002, 0.05)


def _mean_shift(
    templates: Templates, candidates: Candidates, attention: Tensor, spread: Tensor
) -> Tensor:
    """Return the mean shift of each candidate's multiplets, drawn towards 0, in ppm, (J,).

    A multiplet whose place is not well known has a lower weight, by its variance.
    """
    weight = (spread / templates.spreads(spread))[candidates.multiplet] ** 2  # (U,)
    shift = (attention * candidates.shift).sum(1)
    sums = torch.zeros(2, len(candidates.compound), device=shift.device)
    sums.index_add_(1, candidates.hypothesis, torch.stack([weight * shift, weight]))
    return sums[0] / (sums[1] + 2)


class PeakNetwork(nn.Module):
    """Detect and separate the compounds of any library in a mixture of peaks."""

    temperature: Tensor

    def __init__(self, config: PeakNetworkConfig | None = None):
        super().__init__()
        # The names of these modules are the names of the tensors in its files.
        self.config = c = config or PeakNetworkConfig()
        self.first = Screening(c)
        self.rounds = nn.ModuleList(Round(c) for _ in range(c.rounds))
        self.mask_lines = nn.Linear(c.lines, c.places)
        self.mask_places = nn.Linear(c.places, c.places, bias=False)
        self.mask_hypotheses = nn.Linear(c.hypotheses, c.places, bias=False)
        self.mask_out = nn.Linear(c.places + 2, 1)
        self.register_buffer("temperature", torch.ones(()))

    def _mask_logits(
        self, hypotheses: AmountHypotheses, candidates: Candidates, state: dict[str, Tensor]
    ) -> Tensor:
        """Return the logits of each multiplet's share of the area near its lines, shape (V,).

        A second task of the training: it improves the features of the lines. The masks of a
        prediction are ratios of amounts (`identify.ratio_masks`), which had smaller errors: a peak
        belongs to one line or another, but this share is one of all peaks near.
        """
        c = candidates
        hypothesis = c.hypothesis[c.place // c.n_places]
        expected = state["log_amount"].detach().exp()[hypothesis] * c.expected_area
        ratio = (expected / (hypotheses.areas[c.position] + hypotheses.floor)).clamp(max=2)
        places = state["places"].view(len(c.lines_per_place), -1)
        hidden = self.mask_lines(state["lines"]) + self.mask_places(places)[c.place]
        hidden = (hidden + self.mask_hypotheses(state["hypotheses"])[hypothesis]).relu()
        inputs = [hidden, ratio[:, None], (ratio + 1e-3).log()[:, None]]
        return self.mask_out(torch.cat(inputs, 1))[:, 0]

    def forward(self, hypotheses: AmountHypotheses) -> PeakNetworkOutput:
        """Return logits and amounts of every compound of the library."""
        n_compounds, config = hypotheses.templates.n_compounds, self.config
        screening = self.first(hypotheses)
        factor = float(((hypotheses.occupied - UNCROWDED) / CROWDED_STEP).clamp(min=1))
        n_judged = int(config.judged * min(factor, MOST_JUDGED))
        chosen = _likeliest(screening.flatten(), n_judged)
        candidates = gather_candidates(hypotheses, chosen, config.judged_places)
        logit, log_amount = screening.flatten()[chosen], candidates.log_amount
        attention = first_place_attention(candidates)
        spread = torch.tensor(hypotheses.spread, device=screening.device)
        rounds: list[dict[str, Tensor]] = []
        round_candidates: list[Candidates] = []
        for number, step in enumerate(self.rounds):
            if number == 1:
                likeliest = _likeliest(logit, int(config.kept * min(factor, MOST_KEPT)))
                candidates = gather_candidates(hypotheses, chosen[likeliest], config.kept_places)
                logit, log_amount = logit[likeliest], log_amount[likeliest]
                attention = first_place_attention(candidates)
            # No gradient flows from round to round: the loss has a part for each.
            logit, log_amount, attention = (v.detach() for v in (logit, log_amount, attention))
            probabilities, log_absent = compete(candidates.compound, logit, n_compounds)
            if number:
                spread = _spread(hypotheses.templates, candidates, probabilities, attention, spread)
            state = {
                "logit": logit,
                "log_amount": log_amount,
                "attention": attention,
                "probabilities": probabilities,
                "other_hypotheses": (1 - log_absent.exp())[candidates.compound] - probabilities,
                "spread": spread,
                "mean_shift": _mean_shift(hypotheses.templates, candidates, attention, spread),
            }
            state["others"], state["explained"] = area_of_others(hypotheses, candidates, state)
            state = step(hypotheses, candidates, state)
            logit, log_amount, attention = state["logit"], state["log_amount"], state["attention"]
            names = ("logit", "log_amount", "attention", "score")
            rounds.append({name: state[name] for name in names})
            round_candidates.append(candidates)
        masks = self._mask_logits(hypotheses, candidates, state) if self.training else None
        probabilities, log_absent = compete(candidates.compound, logit, n_compounds)
        present = torch.log(-torch.expm1(log_absent).clamp(max=-1e-9)) - log_absent
        best = _likeliest_of_each(candidates.compound, probabilities, n_compounds)
        unlikely = torch.tensor(-30.0, device=best.device)
        amounts = torch.where(best >= 0, log_amount[best.clamp(min=0)], unlikely)
        return PeakNetworkOutput(
            presence=present,
            log_amounts=amounts,
            candidates=candidates,
            screening=screening,
            rounds=rounds,
            round_candidates=round_candidates,
            masks=masks,
            best=best,
        )


def _likeliest_of_each(compound: Tensor, probabilities: Tensor, n_compounds: int) -> Tensor:
    """Return the likeliest candidate of each compound, -1 without one, shape (K,)."""
    device = probabilities.device
    highest = torch.full((n_compounds,), -1.0, device=device)
    highest = highest.scatter_reduce(0, compound, probabilities, "amax")
    rows = (probabilities >= highest[compound]).nonzero()[:, 0]
    best = torch.full((n_compounds,), -1, device=device)
    best[compound[rows]] = rows
    return best
