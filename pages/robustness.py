"""Robustness: the network beside classical methods, on the mixtures of the sidebar, and over sweeps of trouble."""

import streamlit as st

from nmrclassify.baselines import comparison
from nmrclassify.evaluation.robustness import SWEEPS, measured
from nmrclassify.plots import curves
from nmrclassify.ui import charts, page, url_state

view = page.setup("pages/robustness.py")

st.title("Robustness")
st.markdown(
    "Taking clean mixtures apart is no feat: on aligned, noiseless mixtures **least squares is"
    " exact**. What is a network good for, then? It learns what shifts and noise do to multiplets,"
    " and classical methods have to be told."
)

st.subheader("On the mixtures of the sidebar")
kind = view.checkpoint.model.kind
config = view.dataset.config
mixtures = view.dataset.test_mixtures(draws=max(1, 300 // len(view.dataset.test)))
table = comparison.compare_methods(
    view.checkpoint.model, f"{view.model_name} ({kind})", view.dataset, mixtures
)
st.dataframe(
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
told = (
    "told only what a threshold tuned on training mixtures says"
    if config.number_varies
    else f"told that there are {config.n_sources}"
)
st.caption(
    f"{len(mixtures)} mixtures of the {len(view.dataset.test)} test compositions; shift jitter"
    f" {config.shift_jitter:g} positions, noise {config.noise:g}, concentrations"
    f" {config.concentration_low:.2g} to {config.concentration_high:.2g}. The classical methods"
    f" know the library and are {told} compounds. " + comparison.METHODS["exhaustive"]
)
network, best = (
    table.iloc[0],
    table.iloc[1:].query("method != 'exhaustive'").sort_values("mixtures wholly right").iloc[-1],
)
gap = network["mixtures wholly right"] - best["mixtures wholly right"]
if abs(gap) < 0.01:
    st.info(
        f"Here the network and {best['method']} are even: the network brings nothing that a method"
        " without training would not."
    )
elif gap > 0:
    st.success(
        f"Here the network is ahead of {best['method']}, the better simple method, by"
        f" {100 * gap:.0f} points."
    )
else:
    st.warning(
        f"Here {best['method']} is ahead of the network by {-100 * gap:.0f} points: take least"
        " squares, or train on such mixtures."
    )
with st.expander("The classical methods in a sentence each", icon=":material/help:"):
    st.markdown("\n".join(f"- **{name}**: {text}" for name, text in comparison.METHODS.items()))

st.subheader("As trouble grows")
results = measured()
sweep = url_state.widget(
    st.selectbox,
    "Trouble",
    "sweep",
    "shift_jitter",
    options=list(SWEEPS),
    format_func=lambda name: SWEEPS[name].title.capitalize(),
)
rows = curves.over_seeds(results[results["sweep"] == sweep])
last = rows[rows["value"] == (rows["value"].min() if sweep == "training" else rows["value"].max())]
words = ", ".join(
    f"{row.method} {row.mean_:.0%}" for row in last.rename(columns={"mean": "mean_"}).itertuples()
)
charts.chart(
    curves.robustness(rows, SWEEPS[sweep].title, view.theme),
    key="sweep",
    alt=f"Share of mixtures wholly right over {SWEEPS[sweep].title}; at the hardest point: {words}",
)
st.caption(
    "Random compounds, unseen compositions, mean of seeds"
    f" {', '.join(map(str, sorted(results['seed'].unique())))} with 95 % intervals; one network a"
    f" seed for the whole curve. {SWEEPS[sweep].reading} Made by `python -m nmrclassify bench"
    " robustness --out robustness.csv`."
)
charts.download("All sweeps as CSV", results, "robustness.csv", "Every method, value and seed.")
