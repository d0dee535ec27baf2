"""Garbage collection on the server: permanent objects are excluded."""

import gc
from itertools import count

_runs = count(1)


def freeze_loaded_objects() -> None:
    """Exclude all present objects from garbage collection, at the second run of any page.

    Streamlit collects garbage after every run of a page and, with torch, scipy and Plotly loaded,
    visits some 300,000 objects that are never freed: a quarter of a second in which nothing is
    sent. All of them are loaded by the second run.
    """
    if next(_runs) == 2:
        gc.collect()
        gc.freeze()
