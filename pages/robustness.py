"""Robustness: a network and classical methods, on the mixtures of the sidebar and over sweeps."""

import pandas as pd
import streamlit as st

from nmrclassify.baselines import comparison
from nmrclassify.evaluation.robustness import SWEEPS, measured
from nmrclassify.lessons.glossary import term
from nmrclassify.mixtures.dataset import Dataset
from nmrclassify.networks.conv_tasnet import Network
from nmrclassify.plots import page_figures
from nmrclassify.plots.map_rows import positions_label
from nmrclassify.ui import charts, page, results, url_state

view = page.setup("pages/robustness.py")


def _trained_on(rows: pd.DataFrame) -> str:
    """Return what the networks of a sweep were trained on, as the table's own column says."""
    words = rows["trained_on"].dropna().unique()
    return f"Training: {'; '.join(words)}." if len(words) else ""


@st.cache_data(max_entries=32, show_spinner="Comparing the methods …", hash_funcs=results.KEYS)
def _methods(model: Network, name: str, dataset: Dataset, draws: int) -> pd.DataFrame:
    with results.HEAVY:
        return comparison.compare_methods(model, name, dataset, dataset.test_mixtures(draws=draws))


st.title("Robustness")
st.markdown(
    f"{term('least squares', 'Least squares')} is exact on clean mixtures; a network is useful"
    f" where shifts and {term('noise')} change them.",
    help="A network learns these changes from examples; classical methods need a description of"
    " them.",
)

config = view.dataset.config
draws = max(1, 300 // len(view.dataset.test))
number = (
    "a threshold, tuned on training mixtures, instead of the number of compounds"
    if config.number_varies
    else f"the number of compounds, {config.n_sources}"
)
st.subheader(
    "Accuracy on the mixtures of the sidebar",
    help=f"{draws * len(view.dataset.test)} mixtures of the {len(view.dataset.test)} test"
    f" {term('composition', 'compositions')}; shift jitter {config.shift_jitter:g}"
    f" {positions_label(view.library.axis)}, noise {config.noise:g}, concentrations"
    f" {config.concentration_low:.2g} to {config.concentration_high:.2g}. The classical methods get"
    f" the library, and {number}.",
)
table = _methods(view.checkpoint.model, view.model_name, view.dataset, draws)
st.container(key="methods").dataframe(
    table,
    hide_index=True,
    column_config={
        column: (
            st.column_config.ProgressColumn(min_value=0.0, max_value=1.0, format="percent")
            if column.endswith("right")
            else st.column_config.NumberColumn(f"95 %, {column}", format="percent")
        )
        for column in table.columns[1:]
    },
)
network, best = (
    table.iloc[0],
    table.iloc[1:].query("method != 'exhaustive'").sort_values("mixtures wholly right").iloc[-1],
)
ours, theirs = network["mixtures wholly right"], best["mixtures wholly right"]
better, worse = (
    ("the network", best["method"]) if ours > theirs else (best["method"], "the network")
)
sentence = (
    f"{better[0].upper()}{better[1:]} is {100 * abs(ours - theirs):.1f} percentage points better"
    f" than {worse}"
)
if network["from"] <= best["to"] and best["from"] <= network["to"]:
    st.info(f"{sentence}, but their 95 % intervals overlap: neither is shown to be better.")
elif ours > theirs:
    st.success(f"{sentence}, the better of the two simple methods.")
else:
    st.warning(f"{sentence}. Use {better}, or train a network on such mixtures.")
with st.expander("The classical methods", icon=":material/help:"):
    st.markdown("\n".join(f"- **{name}**: {text}" for name, text in comparison.METHODS.items()))

harder = st.container()
measurements = measured()
sweep = url_state.widget(
    st.selectbox, "What changes", "sweep", format_func=lambda name: SWEEPS[name].title.capitalize()
)
measured_here = measurements[measurements["sweep"] == sweep]
rows = page_figures.robustness_means(sweep)
last = rows[rows["value"] == (rows["value"].min() if sweep == "training" else rows["value"].max())]
hardest = ", ".join(
    f"{row.method} {row.mean_:.0%}" for row in last.rename(columns={"mean": "mean_"}).itertuples()
)
charts.chart(
    page_figures.robustness(sweep, view.theme),
    key="sweep",
    alt=(
        f"Share of mixtures wholly right over {SWEEPS[sweep].title}; at the hardest point:"
        f" {hardest}"
    ),
)
harder.subheader(
    "Accuracy as mixtures get harder",
    help=f"Means of the seeds {', '.join(map(str, sorted(measurements['seed'].unique())))} with"
    " 95 % intervals, on test compositions and random compounds. Queries get the answer of least"
    f" squares as an input; *queries without least squares* do not. {_trained_on(measured_here)}"
    " `python -m nmrclassify bench robustness --out robustness.csv` computes this table.",
)
st.caption(SWEEPS[sweep].reading)
charts.download(
    "All sweeps as CSV", measurements, "robustness.csv", "Every method, value and seed."
)
