"""What every page shares: the sidebar, and from it the data set, the model and the mixture that are looked at."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st

from nmrclassify.config import bounds
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.edits import EditError, Mixture, apply, from_text, is_empty
from nmrclassify.mixtures.grid import (
    MixtureConfig,
    generator,
    mix_at,
    unknown_compounds,
    with_unknown,
)
from nmrclassify.mixtures.presets import PRESETS, build, preset
from nmrclassify.nmr.library import Library
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.training.jobs import yield_to_visitors
from nmrclassify.ui import (
    charts,
    clicks,
    export_panel,
    garbage,
    inspector,
    lesson_card,
    model_picker,
    presenter,
    url_state,
)
from nmrclassify.ui.model_picker import Chosen
from nmrclassify.ui.panels import View, first, forget_edits

# Page, label in the sidebar, and the group that it stands in.
PAGES = {
    "app.py": ("Overview", ":material/visibility:"),
    "pages/mixtures.py": ("Mixtures", ":material/science:"),
    "pages/masks.py": ("Masks", ":material/gradient:"),
    "pages/separation.py": ("Separation", ":material/call_split:"),
    "pages/inside.py": ("Look inside", ":material/search:"),
    "pages/whatif.py": ("What if", ":material/edit:"),
    "pages/train.py": ("Train or load", ":material/model_training:"),
    "pages/travel.py": ("Time travel", ":material/history:"),
    "pages/compare.py": ("Compare", ":material/compare:"),
    "pages/evaluate.py": ("Evaluate", ":material/fact_check:"),
    "pages/robustness.py": ("Robustness", ":material/query_stats:"),
    "pages/scale.py": ("Full scale", ":material/zoom_in_map:"),
    "pages/lessons.py": ("Lessons", ":material/school:"),
    "pages/quiz.py": ("Quiz", ":material/quiz:"),
}
SEED = 7


def adopt(checkpoint: Checkpoint, model: str) -> None:
    """Make a checkpoint's own data set, and the checkpoint, what the pages show."""
    own = checkpoint.dataset
    name = own.preset if own.preset in PRESETS else "own"
    if name != "own" and not np.array_equal(
        model_picker.dataset_of(name, own.seed, own.config).library.areas, own.library.areas
    ):
        name = "own"
    if name == "own":
        st.session_state["own library"] = own.library
    usual = PRESETS[name].mixture if name != "own" else MixtureConfig()
    spread = round(float(own.config.concentration_high), 4)
    for key, value, default in (
        ("preset", name, "metabolites"),
        ("seed", own.seed, SEED),
        ("model", model, None),
        ("sources", own.config.n_sources, usual.n_sources),
        ("repeat", own.config.repetition, usual.repetition),
        ("varies", own.config.number_varies, usual.number_varies),
        ("spread", spread, usual.concentration_high),
        ("jitter", own.config.shift_jitter, usual.shift_jitter),
        ("noise", own.config.noise, usual.noise),
        ("mixture", None, None),
        ("n", None, None),
        ("foreign", None, None),
        ("edit", None, None),
        ("at", None, None),
    ):
        url_state.put(key, None if value == default else value)


@dataclass
class Page:
    """A page that is being set up: sentences about what a link got wrong, and the view once there is one."""

    problems: list[str]
    view: View | None = None


@contextmanager
def frame(page: str) -> Iterator[Page]:
    """Start a page: configuration, sidebar with what the body draws into it, link."""
    yield_to_visitors()
    garbage.settle()
    st.set_page_config(page_title=f"{PAGES[page][0]} · nmrclassify", layout="wide")
    opened = Page(url_state.read(page))
    if page != "pages/travel.py":
        st.session_state.pop("playing", None)
    charts.start_page()
    with st.sidebar:
        st.markdown("### nmrclassify")
        pages = st.container(key="pages")
        st.divider()
        yield opened
        presenter.switch()
        taking = st.container()
        # Here, since what takes no place takes a gap all the same. Streamlit leaves a sixth of a
        # small screen empty above the title.
        st.html("<style>.stMainBlockContainer { padding-top: 4rem; padding-bottom: 4rem; }</style>")
        clicks.listen(inspector.choose_clicked)
    url_state.write()
    # Last, so that the links between pages carry the state as it is now.
    _page_links(pages)
    export_panel.show(page, taking, opened.view)
    presenter.dress()
    for problem in opened.problems:
        st.warning(problem, icon=":material/link_off:")
    lesson_card.show(page)


def _page_links(pages: Any) -> None:
    with pages:
        # Two columns, so that the controls below stay on the first screen.
        st.html(
            "<style>.st-key-pages { display: grid; grid-template-columns: 1fr 1fr; gap: 0 .25rem; }"
            " .st-key-pages > div { width: auto !important; min-width: 0; }</style>"
        )
        for path, (label, symbol) in PAGES.items():
            st.page_link(path, label=label, icon=symbol, query_params=url_state.query())


def setup(page: str, slider: bool = True) -> View:
    """Start a page about the toy's data, model and mixture. Call first on every such page; `slider`: as in `models.choose`."""
    with frame(page) as opened:
        dataset = _choose_data(opened.problems)
        chosen = model_picker.choose(dataset, opened.problems, slider)
        opened.view = _choose_mixture(dataset, chosen, opened.problems)
    st.session_state["network kind"] = opened.view.checkpoint.model.kind
    inspector.show_clicked(opened.view)
    return opened.view


def _choose_data(problems: list[str]) -> Dataset:
    own = _library_of_linked_run() or st.session_state.get("own library")
    names = [*PRESETS, "own"] if own is not None else list(PRESETS)
    titles = {name: recipe.title for name, recipe in PRESETS.items()} | {"own": "Own library"}
    if url_state.get("preset") == "own" and own is None:
        problems.append(
            "The link asks for an uploaded library, which a link cannot carry; upload it on the"
            " page Mixtures."
        )
    name = url_state.widget(
        st.selectbox,
        "Data",
        "preset",
        "metabolites",
        options=names,
        format_func=titles.get,
        on_change=forget_edits,
        args=("n", "at", "output", "filter", "position"),
    )
    usual = preset(name).mixture if name != "own" else MixtureConfig()
    seed, sources, repeat = (
        url_state.get("seed", SEED),
        url_state.get("sources", usual.n_sources),
        url_state.get("repeat", usual.repetition),
    )
    varies = url_state.get("varies", usual.number_varies)
    spread, jitter, noise = (
        url_state.get(key, default)
        for key, default in (
            ("spread", usual.concentration_high),
            ("jitter", usual.shift_jitter),
            ("noise", usual.noise),
        )
    )
    # Drawn when opened: a first visit need not load the code of controls that it does not see.
    details = st.expander(
        "How mixtures are made", icon=":material/tune:", key="mixing", on_change="rerun"
    )
    if details.open:
        with details:
            seed = url_state.widget(
                st.number_input,
                "Seed",
                "seed",
                SEED,
                min_value=0,
                max_value=url_state.MAX_SEED,
                step=1,
                help=(
                    "The same seed gives the same compounds, the same split and the same mixtures."
                ),
            )
            limit = bounds(MixtureConfig, "n_sources")
            sources = url_state.widget(
                st.number_input,
                "Compounds in a mixture",
                "sources",
                usual.n_sources,
                min_value=int(limit.low),
                max_value=int(limit.high),
                step=1,
            )
            varies = url_state.widget(
                st.checkbox,
                "Their number varies, from 1 up",
                "varies",
                usual.number_varies,
                help=(
                    "Mixtures hold any number of compounds up to the one above, and the network is"
                    " not told how many."
                ),
            )
            repeat = url_state.widget(
                st.checkbox, "The same compound may occur twice", "repeat", usual.repetition
            )
            spread = url_state.widget(
                st.slider,
                "Concentrations, up to this many times lower or higher",
                "spread",
                usual.concentration_high,
                min_value=1.0,
                max_value=10.0,
                step=0.1,
            )
            jitter = url_state.widget(
                st.slider,
                f"Shift jitter (positions{_in_ppm(name)})",
                "jitter",
                usual.shift_jitter,
                min_value=0.0,
                max_value=3.0,
                step=0.02,
                help=(
                    "Standard deviation by which each multiplet moves from its place in the"
                    " library."
                ),
            )
            noise = url_state.widget(
                st.slider,
                "Noise (peak area)",
                "noise",
                usual.noise,
                min_value=0.0,
                max_value=1.0,
                step=0.01,
                help="Standard deviation of the noise on each peak area.",
            )
    mixture = MixtureConfig(sources, repeat, 1.0 / spread, spread, jitter, noise, varies)
    try:
        return (
            build("quick", seed, mixture, own)
            if name == "own"
            else model_picker.dataset_of(name, seed, mixture)
        )
    except ValueError as error:
        problems.append(f"{error}. The preset's own settings are used.")
        return (
            build("quick", seed, library=own)
            if name == "own"
            else model_picker.dataset_of(name, seed, usual)
        )


def _in_ppm(name: str) -> str:
    return " of 0.5 ppm" if name == "metabolites" else ""


def _library_of_linked_run() -> Library | None:
    try:
        return (
            model_picker.run_checkpoint(url_state.get("model", "")).dataset.library
            if url_state.get("preset") == "own"
            else None
        )
    except ValueError:
        return None


def _choose_mixture(dataset: Dataset, chosen: Chosen, problems: list[str]) -> View:
    own = st.session_state.get("own mixture")
    shape = dataset.library.areas.shape[1:]
    has_file = own is not None and own[1].shape == shape and own[2] == dataset.library.axis
    kinds = {"unseen": "Test set", "choose": "Choose"} | ({"file": "File"} if has_file else {})
    if url_state.get("mixture") == "file" and not has_file:
        problems.append(
            "The link asks for an uploaded mixture, which a link cannot carry; upload it on the"
            " page Mixtures."
        )
    kind = url_state.widget(
        st.radio,
        "Mixture",
        "mixture",
        "unseen",
        options=list(kinds),
        format_func=kinds.get,
        horizontal=True,
        help="Test set: compositions kept out of training. Choose: any compounds you like.",
        on_change=forget_edits,
    )
    if kind == "file":
        return _view(dataset, chosen, Mixture(own[1]), f"File {own[0]}", {}, problems)
    if kind == "choose":
        labels, concentrations = _choose_compounds(dataset)
        if (labels == dataset.library.n_compounds).all():
            problems.append("No compound is chosen; the first one is used.")
            labels[0], concentrations = 0, np.ones_like(concentrations)
        title, how = "Mixture of your choice", {"labels": labels, "concentrations": concentrations}
    else:
        count = len(dataset.test)
        n = url_state.widget(
            st.number_input,
            f"Number, 1 to {count}",
            "n",
            first(dataset),
            min_value=1,
            max_value=count,
            step=1,
            on_change=forget_edits,
        )
        title, how = f"Test mixture {n} of {count}", {"number": n}
    if url_state.widget(
        st.checkbox,
        "Add a compound from outside the library",
        "foreign",
        False,
        help="Real samples hold compounds that nobody listed. A network of queries should say so.",
    ):
        how["foreign"] = how.get("number", 1) - 1
    return _view(dataset, chosen, make(dataset, how), title, how, problems)


def make(dataset: Dataset, made: dict[str, Any]) -> Mixture:
    """Make the mixture that `View.made` describes, of these data: a test mixture, or one of one's choice, and a stranger if any."""
    if "labels" in made:
        rng = generator(dataset.seed, "view")
        mixtures = mix_at(
            dataset.library, made["labels"][None], made["concentrations"][None], dataset.config, rng
        )
    else:
        mixtures = dataset.test_mixtures()[made["number"] - 1 : made["number"]]
    if "foreign" in made:
        stranger = unknown_compounds(
            dataset.library, 1, generator(dataset.seed, "unknown", made["foreign"])
        )
        mixtures = with_unknown(mixtures, stranger, np.ones(1))
    return Mixture.of(mixtures, 0)


def with_settings(view: View, config: MixtureConfig) -> View:
    """Return the same view with its mixture made in another way, with the same compounds, amounts and edits; a file stays as it is."""
    if not view.made:
        return view
    data = replace(view.dataset, config=config)
    plain = make(data, view.made)
    return replace(view, dataset=data, plain=plain, sample=apply(plain, view.edits, data.library))


def _view(
    dataset: Dataset,
    chosen: Chosen,
    plain: Mixture,
    title: str,
    made: dict[str, Any],
    problems: list[str],
) -> View:
    edits, sample = (), plain
    try:
        edits = from_text(url_state.get("edit", ""))
        sample = apply(plain, edits, dataset.library)
        if is_empty(sample, plain):
            raise EditError("nothing is left in the mixture: add a compound or a multiplet")
    except EditError as error:
        problems.append(
            f"The edits cannot be made here: {error}. The mixture is shown without them; undo them"
            " on the page What if."
        )
        edits, sample = (), plain
    return View(dataset, chosen, plain, sample, edits, title, charts.theme(), made)


def _choose_compounds(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    names, size = dataset.library.names, dataset.config.n_sources
    numbers = list(range(1, len(names) + 1)) + ([0] if dataset.config.number_varies else [])
    limit = bounds(MixtureConfig, "concentration_low")
    labels, concentrations = [], []
    for i in range(1, size + 1):
        left, right = st.columns([3, 2])
        with left:
            chosen = url_state.widget(
                st.selectbox,
                f"Compound {i}",
                f"c{i}",
                numbers[(i - 1) % len(names)],
                options=numbers,
                format_func=lambda number: names[number - 1] if number else "nothing",
            )
        with right:
            amount = url_state.widget(
                st.number_input,
                "Amount",
                f"a{i}",
                1.0,
                min_value=limit.low,
                max_value=limit.high,
                step=0.25,
            )
        labels.append(chosen - 1 if chosen else len(names))
        concentrations.append(amount)
    order = np.argsort(labels, kind="stable")
    return np.array(labels)[order], np.array(concentrations, dtype=np.float32)[order]
