"""Overview: a trained network takes a mixture apart, before any click. Start with `streamlit run app.py`."""

import streamlit as st

from nmrclassify.plots import classes, maps
from nmrclassify.ui import charts, page, panels

ORDER = {
    "queries": (
        "This network has one output for each compound of the library, and shows those that it"
        " finds; it is not told how many there are."
    ),
    "slots": "The outputs of this network have no fixed order: output 1 may hold any compound.",
}
view = page.setup("app.py")
names = view.library.names

st.title("A network takes an NMR mixture apart")
st.markdown(
    "One spectrum, several compounds in it: the network estimates a **mask** for each compound that"
    " it hears, and through each mask sees that compound alone."
)
panels.mixture_heading(view)
panels.say_verdict(view)

charts.chart(
    maps.overview(
        view.areas, view.prediction, names, view.library.axis, view.theme, view.truth, view.cell
    ),
    alt=(
        "The mixture, a mask for each output, separated multiplets, truth and class bars."
        f" {classes.alt_text(view.prediction, names)}"
    ),
    key="overview",
)

with st.expander("How to read this picture", icon=":material/help:"):
    st.markdown(f"""
1. **Mixture.** Each column is a place on the chemical shift axis (ppm, decreasing to the right, as chemists draw it). Each
   row is one peak of the multiplet found there: one bright cell is a singlet, two are a doublet (1:1), three a triplet
   (1:2:1), and so on. Brighter is a larger peak area: more protons, or more of the compound.
2. **Masks.** The network first turns the mixture into {len(view.prediction.encoding)} learned features (filters) for each place. A mask says, for each
   filter and place, how much belongs to one output: 0 (dark) blocks it, 1 (bright) lets it through.
3. **Separated.** The mixture seen through each mask, turned back into multiplets. Compare with the row below. (What falls
   below zero is drawn as nothing; the page *Separation and classes* shows it in the residual.)
4. **Truth.** What was really mixed; the network never saw this row.
5. **Which compounds?** The probability of each compound. ◇ marks those that are in the mixture.

{ORDER[view.prediction.kind]} Press *Next* for another mixture that was
kept out of training, add noise or shift jitter in the sidebar and watch the masks fray, or go to *Masks* and look closer. Click any cell of a map to follow its value through the network.
""")

metrics = view.checkpoint.metrics
same = (
    view.dataset.config == view.checkpoint.dataset.config
    and view.dataset.seed == view.checkpoint.dataset.seed
)
if metrics and same:
    low, high = metrics["compound_accuracy_ci95"]
    st.caption(
        f"{view.model_name}: on all {metrics['n_mixtures']} unseen test mixtures"
        f" {metrics['compound_accuracy']:.1%} of compounds are named right (95 % interval {low:.0%}"
        f" to {high:.0%}), and {metrics['exact_match']:.1%} of mixtures wholly."
    )
elif metrics:
    st.caption(
        "These mixtures are made in another way than those the model was trained on. The page"
        " *Evaluate* measures how it copes."
    )
