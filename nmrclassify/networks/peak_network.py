"""The network at full scale: each compound of the library is asked for by its own multiplets.

```
evidence (K compounds, H hypotheses) -> first look: which hypotheses are worth a second one
   +--> every line of theirs: what is there, and what is left when the others' claims are taken away
   |        -> places of a multiplet (attention) -> multiplets of a hypothesis -> its logit, its amount
   +------- claims: probability x attention x amount, put on the axis (explaining away), three rounds
-> presence, amount and places of each compound, from which `identify.ratio_masks` makes its mask
```

A hypothesis says "compound k is here with amount x". All sizes are relative (to the amount, to the
shift's spread, to the smallest peak), and no weight belongs to a compound: one that training never
saw is found by its table alone. Sets are pooled as in Zaheer et al., Deep Sets, 2017; masks share
out the mixture as in Luo & Mesgarani, Conv-TasNet, 2019.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from math import log

import torch
from torch import Tensor, nn

from nmrclassify.config import bounded, check
from nmrclassify.networks.amount_hypotheses import AmountHypotheses, segment_sum, within
from nmrclassify.networks.candidates import Candidates, first_place_attention, gather_candidates


@dataclass(frozen=True)
class PeakNetworkConfig:
    """Sizes of the network."""

    lines: int = bounded(16, 2, 256, "features of a line")
    places: int = bounded(24, 2, 256, "features of a place, and of a multiplet")
    hypotheses: int = bounded(48, 2, 512, "features of a hypothesis")
    rounds: int = bounded(3, 1, 8, "rounds of explaining away")
    judged: int = bounded(
        1536, 16, 16384, "hypotheses that get a second look, at `judged_places` of each multiplet"
    )
    judged_places: int = bounded(2, 1, 24, "places of each multiplet at the second look")
    kept: int = bounded(384, 16, 16384, "hypotheses that later rounds go on with, at `kept_places`")
    kept_places: int = bounded(5, 1, 24, "places of each multiplet in later rounds")

    def __post_init__(self):
        check(self)


@dataclass
class PeakNetworkOutput:
    """What the network says of one mixture; `rounds` holds what the loss needs of each round."""

    presence: Tensor  # (K,) logits
    log_amounts: Tensor  # (K,) relative to the evidence's unit
    look: Candidates
    first: Tensor  # (K, H) logits of the first look
    rounds: list[dict[str, Tensor]] = field(repr=False)
    looks: list[Candidates] = field(repr=False)  # what each round looked at; the last is `look`
    masks: Tensor | None = field(
        repr=False
    )  # (V,) logits, in training: share of the area near each line that is its multiplet's
    best: Tensor = field(
        repr=False
    )  # (K,) the compound's likeliest hypothesis of J, -1 without one


def _mlp(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _pool(values: Tensor, index: Tensor, size: int) -> Tensor:
    """Mean, least and greatest of the rows of each group, shape (size, 3 F)."""
    count = (
        torch.zeros(size, 1, device=values.device)
        .index_add_(0, index, torch.ones_like(values[:, :1]))
        .clamp(min=1)
    )
    mean = (
        torch.zeros(size, values.shape[1], device=values.device).index_add(0, index, values) / count
    )
    wide = index[:, None].expand_as(values)
    edges = [
        torch.zeros(size, values.shape[1], device=values.device).scatter_reduce(
            0, wide, values, how, include_self=False
        )
        for how in ("amin", "amax")
    ]
    return torch.cat([mean, *edges], 1)


def _likeliest(logits: Tensor, count: int) -> Tensor:
    """Return the indices of the `count` highest logits, ascending."""
    return logits.detach().topk(min(count, len(logits))).indices.sort().values


class Screening(nn.Module):
    """Judge all K x H hypotheses by the evidence of their multiplets alone; cheap, to choose which to look at closely."""

    def __init__(self, config: PeakNetworkConfig):
        super().__init__()
        d = config.places
        self.multiplets = _mlp(6, d, d)
        self.hypotheses = _mlp(3 * d + 6, config.hypotheses, 1)

    def forward(self, evidence: AmountHypotheses) -> Tensor:
        """Return logits, shape (K, H)."""
        t = evidence.templates
        n_compounds, n_columns = evidence.log_amounts.shape
        x = evidence.log_amounts[t.owner]  # (M, H)
        near, anywhere = evidence.near.unbind(2)
        over = evidence.bounds[:, None, :8] - x[:, :, None]
        suits = evidence.scores[:, None, :8] - 0.5 * (over.clamp(-0.8, 0.8) / 0.2) ** 2
        best = suits.max(2)
        facts = torch.stack([
            (near - anywhere) / 3, anywhere / 3, best.values / 5,
            over.gather(2, best.indices[:, :, None])[:, :, 0].clamp(-2, 3),
            (x + (t.total[:, None] / t.n_lines[:, None] / evidence.floor).log()).clamp(-2, 8) / 4,
            t.n_lines[:, None].expand_as(x).clamp(max=8) / 4,
        ], 2)  # fmt: skip
        embedded = self.multiplets(facts)  # (M, H, d)
        pooled = (
            _pool(embedded.flatten(1), t.owner, n_compounds)
            .view(n_compounds, 3, n_columns, -1)
            .transpose(1, 2)
            .flatten(2)
        )
        votes = evidence.votes
        lead = (votes - votes[:, :1]).clamp(min=-20) / 5
        # Each is a number for every hypothesis.
        facts = torch.stack([
            votes.clamp(min=-60) / 20, lead, evidence.log_amounts / 4, (evidence.log_amounts - log(evidence.floor)) / 4,
            t.first_multiplet.diff()[:, None].expand_as(votes).log(), torch.full_like(votes, log(evidence.spread / 0.01)),
        ], 2)  # fmt: skip
        return self.hypotheses(torch.cat([pooled, facts], 2))[..., 0]


class Round(nn.Module):
    """Judge the chosen hypotheses by their lines, knowing what all others claim."""

    def __init__(self, config: PeakNetworkConfig):
        super().__init__()
        a, d, h = config.lines, config.places, config.hypotheses
        self.lines = _mlp(6, a, a)
        self.places = _mlp(a + 2 + 4 + 3, d, d)
        self.attention = nn.Linear(d, 1)
        self.multiplets = _mlp(d + 6, d, d)
        self.hypotheses = _mlp(3 * d + 8, h, h)
        self.out = nn.Linear(h, 2)

    def forward(
        self,
        evidence: AmountHypotheses,
        look: Candidates,
        areas: tuple[Tensor, Tensor],
        state: dict[str, Tensor],
    ) -> dict[str, Tensor]:
        """Return the next state: logits (J,), log amounts (J,), attention (U, N) and the features of lines, places, hypotheses."""
        t = evidence.templates
        x = state["log_amount"]
        others = area_of_others(evidence, look, state)
        amount = x.exp()[look.hypothesis[look.item // look.n_places]]
        floor = evidence.floor
        wide, narrow = areas
        expected = amount * look.need + floor
        left = ((wide - others) / expected).clamp(-1, 4)
        ratio = ((wide + floor) / expected).log().clamp(-3, 3)
        facts = torch.stack([
            ratio, left, (others / (wide + floor)).clamp(0, 3), (expected / floor).log() / 4,
            ((narrow + floor) / expected).log().clamp(-3, 3), look.share,
        ], 1)  # fmt: skip
        lines = self.lines(facts)  # (V, a)
        pooled = segment_sum(lines * look.share[:, None], look.lengths)
        least = torch.segment_reduce(
            torch.stack([ratio, left], 1), "min", lengths=look.lengths, axis=0
        )
        spread = state["spread"]
        far = look.shift / spread
        count = look.shift.numel()
        centred = (look.shift - state["common"][look.hypothesis, None]) / spread
        places = self.places(torch.cat([
            pooled, least, look.place.view(count, -1),
            torch.stack([far.clamp(-4, 4), 0.3 * far.clamp(-4, 4) ** 2, 0.3 * centred.clamp(-4, 4) ** 2], 2).view(count, -1),
        ], 1)).view(*look.shift.shape, -1).relu()  # fmt: skip
        score = self.attention(places)[..., 0] - 1e3 * look.place[..., 3]
        attention = score.softmax(1)  # (U, N)
        near = evidence.near[look.multiplet, :, :].gather(
            1, look.column[look.hypothesis][:, None, None].expand(-1, 1, 2)
        )[:, 0]
        total = (x[look.hypothesis] + (t.total[look.multiplet] / floor).log()) / 4
        multiplets = self.multiplets(torch.cat([
            (attention[..., None] * places).sum(1), near / 3, total[:, None],
            t.n_lines[look.multiplet, None].clamp(max=8) / 4, t.protons[look.multiplet, None].log(),
            (score.logsumexp(1, keepdim=True)).clamp(-20, 20) / 5,
        ], 1))  # fmt: skip
        pooled = _pool(multiplets, look.hypothesis, len(x))
        probabilities = state["probabilities"]
        sizes = t.first_multiplet.diff()[look.compound].log()
        context = torch.stack([
            state["logit"] / 5, probabilities, x / 4, (x - log(floor)) / 4, sizes,
            torch.log(spread / 0.01).expand_as(x), (probabilities.sum() / 50).expand_as(x), state["rival"],
        ], 1)  # fmt: skip
        hypotheses = self.hypotheses(torch.cat([pooled, context], 1)).relu()
        logit, correction = self.out(hypotheses).unbind(1)
        return {
            "logit": logit, "log_amount": look.log_amount + 0.3 * torch.tanh(correction), "attention": attention, "score": score,
            "lines": lines, "places": places, "hypotheses": hypotheses,
        }  # fmt: skip


def compete(compound: Tensor, logit: Tensor, n_compounds: int) -> tuple[Tensor, Tensor]:
    """Return each hypothesis' probability beside the compound's others and its absence, and the absences' log probability."""
    wide = (
        torch.zeros(n_compounds, device=logit.device)
        .scatter_reduce(0, compound, logit.detach(), "amax")
        .clamp(min=0)
    )
    sums = torch.zeros(n_compounds, device=logit.device).index_add(
        0, compound, (logit - wide[compound]).exp()
    )
    norm = ((-wide).exp() + sums).log() + wide  # log(1 + sum of exp)
    return (logit - norm[compound]).exp(), -norm


def area_of_others(
    evidence: AmountHypotheses, look: Candidates, state: dict[str, Tensor]
) -> Tensor:
    """Area that other compounds claim within the tolerance of each line, shape (V,)."""
    t = evidence.templates
    weight = (state["probabilities"] * state["log_amount"].exp())[look.hypothesis, None] * state[
        "attention"
    ]  # (U, N)
    claims = weight.flatten()[look.item] * t.line_areas[look.line]
    total = within(
        torch.zeros(t.axis.n_positions, device=claims.device).index_add_(0, look.position, claims),
        t.reach,
    )
    sums = torch.cat(
        [
            torch.zeros(1, dtype=torch.float64, device=claims.device),
            claims[look.order].double().cumsum(0),
        ]
    )
    own = (sums[look.own[1]] - sums[look.own[0]]).float()
    return (total[look.position] - own).clamp(min=0)


class PeakNetwork(nn.Module):
    """Detect and separate the compounds of any library in a mixture of peaks."""

    def __init__(self, config: PeakNetworkConfig | None = None):
        super().__init__()
        self.config = config or PeakNetworkConfig()
        self.first = Screening(self.config)
        self.rounds = nn.ModuleList(Round(self.config) for _ in range(self.config.rounds))
        c = self.config
        self.mask_lines = nn.Linear(c.lines, c.places)
        self.mask_places = nn.Linear(c.places, c.places, bias=False)
        self.mask_hypotheses = nn.Linear(c.hypotheses, c.places, bias=False)
        self.mask_out = nn.Linear(c.places + 2, 1)
        self.register_buffer("temperature", torch.ones(()))

    def _shares(
        self, evidence: AmountHypotheses, look: Candidates, state: dict[str, Tensor], there: Tensor
    ) -> Tensor:
        """Return the logits of a second task of the training: the share of the area near each line that is its multiplet's.

        It shapes what the lines' features hold. The masks of an answer are ratios of the amounts
        found, which were measured to err less (`identify.ratio_masks`): these speak of all that lies
        near, and a peak belongs to one line or another.
        """
        item, hypothesis = look.item, look.hypothesis[look.item // look.n_places]
        expected = state["log_amount"].detach().exp()[hypothesis] * look.need
        ratio = (expected / (there + evidence.floor)).clamp(max=2)
        hidden = (
            self.mask_lines(state["lines"])
            + self.mask_places(state["places"].view(len(look.lengths), -1))[item]
        )
        hidden = (hidden + self.mask_hypotheses(state["hypotheses"])[hypothesis]).relu()
        return self.mask_out(torch.cat([hidden, ratio[:, None], (ratio + 1e-3).log()[:, None]], 1))[
            :, 0
        ]

    def forward(self, evidence: AmountHypotheses) -> PeakNetworkOutput:
        """Judge every compound of the evidence's library."""
        n_compounds = evidence.templates.n_compounds
        first = self.first(evidence)
        chosen = _likeliest(first.flatten(), self.config.judged)
        look = gather_candidates(evidence, chosen, self.config.judged_places)
        state = {
            "logit": first.flatten()[chosen],
            "log_amount": look.log_amount,
            "attention": first_place_attention(look),
        }
        spread = torch.tensor(evidence.spread, device=first.device)
        rounds, looks = [], []
        for step in self.rounds:
            # A round reads what the one before it claims; the loss reaches each round directly.
            state = {name: state[name].detach() for name in ("logit", "log_amount", "attention")}
            if len(rounds) == 1:
                kept = _likeliest(state["logit"], self.config.kept)
                look = gather_candidates(evidence, chosen[kept], self.config.kept_places)
                state = {
                    "logit": state["logit"][kept],
                    "log_amount": state["log_amount"][kept],
                    "attention": first_place_attention(look),
                }
            state["probabilities"], absent = compete(look.compound, state["logit"], n_compounds)
            state["rival"] = (1 - absent.exp())[look.compound] - state["probabilities"]
            if rounds:
                # From the second round on the compounds found so far say how far shifts go in this
                # mixture.
                weight = (state["probabilities"] * (state["probabilities"] > 0.3))[
                    look.hypothesis, None
                ] * state["attention"]
                spread = (
                    ((weight * look.shift**2).sum() / weight.sum().clamp(min=1e-6))
                    .sqrt()
                    .clamp(0.002, 0.05)
                )
            state["spread"] = spread
            sums = torch.zeros(2, len(look.compound), device=first.device).index_add_(
                1,
                look.hypothesis,
                torch.stack(
                    [(state["attention"] * look.shift).sum(1), torch.ones_like(look.shift[:, 0])]
                ),
            )
            state["common"] = sums[0] / (sums[1] + 2)
            areas = (evidence.areas[look.position], evidence.narrow[look.position])
            state = step(evidence, look, areas, state)
            looks.append(look)
            rounds.append(
                {name: state[name] for name in ("logit", "log_amount", "attention", "score")}
            )
        masks = self._shares(evidence, look, state, areas[0]) if self.training else None
        probabilities, absent = compete(look.compound, state["logit"], n_compounds)
        present = torch.log(-torch.expm1(absent).clamp(max=-1e-9)) - absent
        best = torch.full((n_compounds,), -1, device=probabilities.device)
        top = torch.full((n_compounds,), -1.0, device=probabilities.device).scatter_reduce(
            0, look.compound, probabilities, "amax"
        )
        leads = probabilities >= top[look.compound]
        best[look.compound[leads]] = torch.arange(len(probabilities), device=probabilities.device)[
            leads
        ]
        amounts = torch.where(
            best >= 0,
            state["log_amount"][best.clamp(min=0)],
            torch.tensor(-30.0, device=probabilities.device),
        )
        return PeakNetworkOutput(present, amounts, look, first, rounds, looks, masks, best)
