"""What all pages share: their frame, and the sidebar with its data, model and mixture."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import streamlit as st

from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.mixtures.edits import EditError, apply, from_text, is_empty
from nmrclassify.mixtures.grid import MixtureConfig
from nmrclassify.mixtures.presets import PRESETS, build
from nmrclassify.mixtures.spec import OWN, SEED, MixtureSpec, usual_config
from nmrclassify.nmr.library import Library
from nmrclassify.training import run_files
from nmrclassify.training.checkpoints import Checkpoint
from nmrclassify.ui import (
    cell_panel,
    charts,
    copy_link,
    export_panel,
    garbage,
    glossary_links,
    lesson_card,
    model_picker,
    own_tables,
    places,
    presenter,
    tour,
    upload_limits,
    url_state,
)
from nmrclassify.ui.model_picker import Chosen
from nmrclassify.ui.panels import View, drop_edits, first
from nmrclassify.ui.places import PAGES
from nmrclassify.ui.session import keep_visit

# Streamlit's colours of programs, of the label of a disabled selectbox, and in the dark theme those
# of a button under the pointer, have contrasts of 2.6 to 4.2; these have at least 4.5.
_COLOURS = {
    False: ("#0b57b0", "#1a6b33", "#8a4100", "#565b69"),
    True: ("#74b8ff", "#7ee2b0", "#ffb26b", "#b4b8c4"),
}
_CONTRAST = """<style>
.stApp .stCode .token:is(.keyword, .function, .class-name, .property, .variable) { color: %s; }
.stApp .stCode .token:is(.string, .number, .boolean, .constant) { color: %s; }
.stApp .stCode .token:is(.operator, .decorator) { color: %s; }
.stApp .stCode .token:is(.comment, .punctuation) { color: %s; }
.stApp label[data-testid="stWidgetLabel"] { color: inherit; }
%s</style>"""
_POINTED = """
.stApp button[kind="tertiary"]:is(:hover, :active, :focus, [aria-expanded="true"]),
.stApp button[kind="secondary"]:is(:hover, :active, :focus) { color: var(--st-primary-color); }
"""


def show_checkpoint(checkpoint: Checkpoint, model: str) -> None:
    """Show a checkpoint, called `model` in links, and the data that it was trained on."""
    data = checkpoint.dataset
    name = data.preset if data.preset in PRESETS else OWN
    if name != OWN and not np.array_equal(
        model_picker.dataset_of(name, data.seed, data.config).library.areas, data.library.areas
    ):
        name = OWN
    if name == OWN:
        st.session_state["own library"] = data.library
    url_state.put_mixture(MixtureSpec(name, data.seed, data.config, first(data)))
    url_state.put("model", model)
    url_state.put("step", None)


@dataclass
class Page:
    """A page that is set up: sentences on bad values of a link, and the view once there is one."""

    problems: list[str]
    view: View | None = None


@contextmanager
def frame(page: str) -> Iterator[Page]:
    """Start a page: configuration, sidebar with what the body draws into it, link."""
    garbage.run_started()
    st.set_page_config(page_title=f"{PAGES[page].label} · nmrclassify", layout="wide")
    upload_limits.limit_uploads()
    opened = Page(url_state.read(page))
    if page == "pages/train.py" and (problem := run_files.home_problem()):
        opened.problems.append(f"{problem}.")
    if page != "pages/travel.py" or url_state.is_step_in_history():
        st.session_state.pop("playing", None)
    charts.start_page()
    with st.sidebar:
        st.markdown("### nmrclassify")
        pages = st.container()
        st.divider()
        yield opened
        presenter.switch()
        copy_link.button()
        _offer_reset(page)
        export = st.container()
        # In the sidebar, because an element without a size still gets a gap. Streamlit leaves a
        # sixth of a small screen empty above the title.
        st.html(
            "<style>div:has(> :is(.st-key-cell-panel, .st-key-glossary-links)) {"
            " position: absolute; }"
            " .stMainBlockContainer { padding-top: 4rem; padding-bottom: 4rem; }"
            " @media (min-width: 700px) { .stMainBlockContainer { padding-left: 2rem;"
            " padding-right: 2rem; } }"
            # Labels beside an open lesson are cut off otherwise.
            " .stCheckbox .stMarkdownEllipsis, .stCheckbox .stMarkdownEllipsis p"
            " { white-space: normal; overflow: visible; }"
            # Plotly's toolbar below the plot, where no figure has a title or a colour bar.
            " .js-plotly-plot .modebar-container { top: auto !important; bottom: 26px; }</style>"
        )
        dark = charts.theme().dark
        st.html(_CONTRAST % (*_COLOURS[dark], _POINTED if dark else ""))
        keep_visit()
    url_state.write()
    # Last, so that the links between pages carry the state as it is now.
    places.links(page, pages)
    export_panel.show(page, export, opened.view)
    glossary_links.listen(page)
    presenter.apply()
    tour.show(page)
    for problem in opened.problems:
        st.warning(problem, icon=":material/link_off:")
    lesson_card.show(page)


def _offer_reset(page: str) -> None:
    """Draw the button that resets all settings, if one is changed; not within a lesson."""
    if url_state.get("lesson") or not (PAGES[page].controls or page == "pages/scale.py"):
        return
    changed = [key for key in url_state.query() if key != "presenter"]
    if changed:
        st.button(
            "Reset settings",
            on_click=drop_edits,
            args=changed,
            icon=":material/restart_alt:",
            width="stretch",
            help="Shows the data, mixture and model of a first visit. The browser's *Back* undoes"
            " it.",
        )


def setup(page: str) -> View:
    """Start a page about a grid mixture and a model, with the controls that act on it."""
    controls = PAGES[page].controls
    with frame(page) as opened:
        dataset = _choose_data(opened.problems, "data" in controls)
        chosen = model_picker.choose(
            dataset, opened.problems, "step" in controls, "model" in controls
        )
        opened.view = _choose_mixture(dataset, chosen, opened.problems, "mixture" in controls)
        sizes = opened.view.checkpoint.model.config
        _bring_back("position", sizes.n_positions - 1, "position", opened.problems)
        _bring_back("filter", sizes.n_filters - 1, "filter", opened.problems)
    cell_panel.show(opened.view, page)
    return opened.view


def _bring_back(key: str, last: int, name: str, problems: list[str]) -> None:
    """Replace a number of the link that these data or this network do not have, and say so."""
    value = url_state.get(key)
    if value is not None and value > last:
        problems.append(f"There is no {name} {value:,} here: the last one, {last:,}, is shown.")
        url_state.correct(key, last)


def _choose_data(problems: list[str], shown: bool) -> Dataset:
    library = _library_of_linked_run() or st.session_state.get("own library")
    names = [*PRESETS, OWN] if library is not None else list(PRESETS)
    titles = {name: recipe.title for name, recipe in PRESETS.items()} | {OWN: "Own library"}
    if url_state.get("preset") == OWN and library is None:
        problems.append(
            "The link asks for an uploaded library, which a link cannot carry; upload it on the"
            " page Mixtures."
        )
    name = url_state.widget(
        st.selectbox,
        "Data",
        "preset",
        shown=shown,
        options=names,
        format_func=titles.get,
        on_change=drop_edits,
        args=("number", "step", "output", "filter", "position"),
    )
    usual = _usual_config(name, library)
    defaults = {
        "seed": SEED,
        "sources": usual.n_sources,
        "number_varies": usual.number_varies,
        "repetition": usual.repetition,
        "spread": usual.concentration_high,
        "jitter": usual.shift_jitter,
        "noise": usual.noise,
    }
    values = {key: url_state.get(key, default) for key, default in defaults.items()}
    # Drawn when opened: a first visit need not load the code of controls that it does not see.
    details = (
        st.expander(
            "How mixtures are made", icon=":material/tune:", key="mixing", on_change="rerun"
        )
        if shown
        else None
    )
    if details is not None and details.open:
        in_ppm = " of 0.5 ppm" if name == "metabolites" else ""
        controls: dict[str, tuple[Any, str, dict[str, Any]]] = {
            "seed": (
                st.number_input,
                "Seed",
                {
                    "step": 1,
                    "help": "The same seed gives the same compounds, the same split and the same"
                    " mixtures.",
                },
            ),
            "sources": (st.number_input, "Compounds in a mixture", {"step": 1}),
            "number_varies": (
                st.checkbox,
                "Their number varies, from 1 up",
                {
                    "help": "A mixture has any number of compounds up to the one above. The"
                    " network does not get this number."
                },
            ),
            "repetition": (st.checkbox, "The same compound may occur twice", {}),
            "spread": (
                st.slider,
                "Concentrations, up to this many times lower or higher",
                {"step": 0.1},
            ),
            "jitter": (
                st.slider,
                f"Shift jitter (positions{in_ppm})",
                {
                    "step": 0.02,
                    "help": "Standard deviation of the shift of each multiplet from its position in"
                    " the library.",
                },
            ),
            "noise": (
                st.slider,
                "Noise (peak area)",
                {"step": 0.01, "help": "Standard deviation of the noise on each peak area."},
            ),
        }
        with details:
            for key, (control, label, options) in controls.items():
                values[key] = url_state.widget(control, label, key, defaults[key], **options)
    config = MixtureConfig(
        values["sources"],
        values["repetition"],
        1.0 / values["spread"],
        values["spread"],
        values["jitter"],
        values["noise"],
        values["number_varies"],
    )
    try:
        return _dataset(name, values["seed"], config, library)
    except ValueError as error:
        problems.append(f"{error}. The settings of the preset are used.")
        return _dataset(name, values["seed"], usual, library)


def _usual_config(name: str, library: Library | None) -> MixtureConfig:
    """Return how the mixtures of these data are usually made; a small own library has few."""
    usual = usual_config(name)
    if name != OWN or library is None or library.n_compounds > usual.n_sources:
        return usual
    return replace(usual, n_sources=library.n_compounds, number_varies=True)


def _dataset(name: str, seed: int, config: MixtureConfig, library: Library | None) -> Dataset:
    if name == OWN:
        return build("quick", seed, config, library)
    return model_picker.dataset_of(name, seed, config)


def _library_of_linked_run() -> Library | None:
    if url_state.get("preset") != OWN:
        return None
    try:
        return model_picker.run_checkpoint(url_state.get("model", "")).dataset.library
    except ValueError:
        return None


def _choose_mixture(dataset: Dataset, chosen: Chosen, problems: list[str], shown: bool) -> View:
    upload, library = own_tables.mixture(), dataset.library
    areas = upload.areas(library.axis, library.n_peaks) if upload else None
    kinds = {"unseen": "Test set", "choose": "Choose"}
    if areas is not None:
        kinds["file"] = "File"
    elif url_state.get("mixture") == "file" and upload:
        problems.append(
            f"{own_tables.not_in_use(upload, library)} A test mixture is shown in its place."
        )
    elif url_state.get("mixture") == "file":
        problems.append(
            "The link asks for an uploaded mixture, which a link cannot carry; upload it on the"
            " page Mixtures."
        )
    kind = url_state.widget(
        st.radio,
        "Mixture",
        "mixture",
        shown=shown,
        options=list(kinds),
        format_func=kinds.get,
        horizontal=True,
        help="Test set: compositions that are not used for training. Choose: any compounds.",
        on_change=drop_edits,
    )
    preset = dataset.preset if dataset.preset in PRESETS else OWN
    spec = MixtureSpec(preset, dataset.seed, dataset.config)
    if kind == "file" and upload:
        return _view(dataset, chosen, spec, f"File {upload.name}", problems, areas)
    if kind == "choose":
        compounds, concentrations = _choose_compounds(dataset, shown)
        if not any(compounds):
            problems.append("No compound is chosen; the first one is used.")
            compounds, concentrations = (1, *compounds[1:]), (1.0,) * len(compounds)
        spec = replace(spec, compounds=compounds, concentrations=concentrations)
        title = "Mixture of your choice"
    else:
        count = len(dataset.test)
        _bring_back("number", count, "test mixture", problems)
        number = url_state.widget(
            st.number_input,
            f"Number, 1 to {count}",
            "number",
            first(dataset),
            shown,
            max_value=count,
            step=1,
            on_change=drop_edits,
        )
        spec, title = replace(spec, number=number), f"Test mixture {number} of {count}"
    unknown = url_state.widget(
        st.checkbox,
        "Add an unknown compound",
        "unknown_compound",
        shown=shown,
        help="The library does not hold this compound. A network of queries should report it.",
    )
    return _view(dataset, chosen, replace(spec, unknown=unknown), title, problems)


def _view(
    dataset: Dataset,
    chosen: Chosen,
    spec: MixtureSpec,
    title: str,
    problems: list[str],
    areas: np.ndarray | None = None,
) -> View:
    _, plain, sample = spec.realise(dataset, areas=areas)
    view = View(dataset, chosen, spec, plain, sample, title, charts.theme())
    try:
        edits = from_text(url_state.get("edits"))
        sample = apply(plain, edits, dataset.library)
        if is_empty(sample, plain):
            raise EditError("the mixture is empty: add a compound or a multiplet")
    except EditError as error:
        problems.append(
            f"The edits are not possible here: {error}. The mixture is shown without them; undo"
            " them on the page What if."
        )
        return view
    return replace(view, spec=replace(spec, edits=edits), sample=sample)


def _choose_compounds(dataset: Dataset, shown: bool) -> tuple[tuple[int, ...], tuple[float, ...]]:
    names, size = dataset.library.names, dataset.config.n_sources
    numbers = list(range(1, len(names) + 1)) + ([0] if dataset.config.number_varies else [])
    compounds, concentrations = [], []
    for i in range(1, size + 1):
        left, right = st.columns([3, 2]) if shown else (nullcontext(), nullcontext())
        with left:
            compound = url_state.widget(
                st.selectbox,
                f"Compound {i}",
                f"compound_{i}",
                numbers[(i - 1) % len(names)],
                shown,
                options=numbers,
                format_func=lambda number: names[number - 1] if number else "nothing",
            )
        with right:
            amount = url_state.widget(
                st.number_input, "Amount", f"amount_{i}", 1.0, shown, step=0.25
            )
        compounds.append(compound)
        concentrations.append(amount)
    return tuple(compounds), tuple(concentrations)
