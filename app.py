"""Overview: a trained network separates a mixture. Start with `streamlit run app.py`."""

import streamlit as st

from nmrclassify.evaluation.filters import patterns_of
from nmrclassify.plots import classes, page_figures
from nmrclassify.ui import charts, page, panels

HOW_TO_READ = """
1. **Mixture.** Each column is a position on the chemical shift axis (ppm, decreasing to the right).
   Each row is one peak of the multiplet at that position: one bright cell is a singlet, two are a
   doublet (1:1), three a triplet (1:2:1), and so on. A brighter cell is a larger peak area: more
   protons, or a higher concentration.
2. **Masks.** The network first encodes the mixture as {filters} learned features (filters) at each
   position. For each filter and position, a mask says how much belongs to one output: 0 (dark)
   blocks it, 1 (bright) passes it.
3. **Separated.** The masked encoding of each output, decoded to multiplets. Compare it with the
   row below. (Negative areas are not drawn here; the residual on the page *Separation* shows them.)
4. **Truth.** The compounds that were mixed. The network does not get this row.
5. **Which compounds?** The probability of each compound. ◇ marks the compounds in the mixture.

{order} Press *Next* for another test mixture. Add noise or shift jitter in the sidebar (*How
mixtures are made*) and see how the masks change. The page *Masks* shows more detail. Click any cell
of a map to follow its value through the network.
"""
view = page.setup("app.py")
names = view.library.names

st.title("A network separates an NMR mixture")
st.markdown(
    "The spectrum of a mixture is the sum of the spectra of its compounds. The network estimates a"
    " **mask** for each compound that it finds. Each mask separates one compound from the mixture."
)
panels.mixture_heading(view)
panels.show_prediction(view)

charts.chart(
    page_figures.overview(
        view.sample,
        view.prediction,
        view.truth,
        view.library,
        view.theme,
        view.cell,
        patterns_of(view.checkpoint.model),
    ),
    alt=(
        "The mixture, a mask for each output, separated multiplets, truth and class bars."
        f" {classes.alt_text(view.prediction, names)}"
    ),
    key="overview",
)

panels.offer_other_network(view)
with st.expander("How to read this picture", icon=":material/help:"):
    st.markdown(
        HOW_TO_READ.format(
            filters=len(view.prediction.encoding), order=view.checkpoint.model.about_outputs
        )
    )

metrics = view.checkpoint.metrics
same_data = (
    view.dataset.config == view.checkpoint.dataset.config
    and view.dataset.seed == view.checkpoint.dataset.seed
)
if metrics and same_data:
    low, high = metrics["compound_accuracy_ci95"]
    st.caption(
        f"{view.model_name}: on the {metrics['n_mixtures']} test mixtures, it names"
        f" {metrics['compound_accuracy']:.1%} of the compounds correctly (95 % interval {low:.0%}"
        f" to {high:.0%}), and all compounds of {metrics['exact_match']:.1%} of the mixtures."
        + (
            f" Its masks are on average {metrics['mask_distance']:.2f} from the ideal (0 to 1)."
            if metrics.get("mask_distance") is not None
            else ""
        )
    )
elif metrics:
    st.caption(
        "These mixtures differ from the mixtures that the model was trained on. The page"
        " *Evaluate* measures how accurate the model is on them."
    )
