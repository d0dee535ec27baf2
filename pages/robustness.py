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
    f"Mixtures without shifts and {term('noise')} are easy: **{term('least squares')} is"
    " exact**. A network is useful"
    " where shifts and noise change the multiplets. It learns these changes from examples;"
    " classical methods need a description of them."
)

st.subheader("Accuracy on the mixtures of the sidebar")
config = view.dataset.config
draws = max(1, 300 // len(view.dataset.test))
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
number = (
    "They get a threshold, tuned on training mixtures, instead of the number of compounds."
    if config.number_varies
    else f"They also get the number of compounds, {config.n_sources}."
)
st.caption(
    f"{draws * len(view.dataset.test)} mixtures of the {len(view.dataset.test)} test compositions;"
    f" shift jitter {config.shift_jitter:g} {positions_label(view.library.axis)}, noise"
    f" {config.noise:g}, concentrations {config.concentration_low:.2g} to"
    f" {config.concentration_high:.2g}. The classical methods get the library. {number}"
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
    f"On these mixtures, {better} is {100 * abs(ours - theirs):.1f} percentage points better than"
    f" {worse}"
)
if network["from"] <= best["to"] and best["from"] <= network["to"]:
    st.info(f"{sentence}, but their 95 % intervals overlap: they do not tell which is better.")
elif ours > theirs:
    st.success(f"{sentence}, the better of the two simple methods.")
else:
    st.warning(f"{sentence}. Use {better}, or train a network on such mixtures.")
with st.expander("The classical methods, one sentence each", icon=":material/help:"):
    st.markdown("\n".join(f"- **{name}**: {text}" for name, text in comparison.METHODS.items()))

st.subheader("Accuracy as mixtures get harder")
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
st.caption(
    "Queries get the answer of least squares as an input; *queries without least squares* do not."
    f" {_trained_on(measured_here)} Random compounds and test compositions. The curves are means"
    " of the seeds"
    f" {', '.join(map(str, sorted(measurements['seed'].unique())))} with 95 % intervals."
    f" {SWEEPS[sweep].reading} The command `python -m nmrclassify"
    " bench robustness --out robustness.csv` computes this table."
)
charts.download(
    "All sweeps as CSV", measurements, "robustness.csv", "Every method, value and seed."
)
