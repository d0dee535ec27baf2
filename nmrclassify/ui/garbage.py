"""Memory of the server: what is loaded once and stays is taken out of the garbage collector's rounds."""

import gc
from itertools import count

_runs = count(1)


def settle() -> None:
    """Call at the start of each page; on the second one of the process, what lives by then is set aside for good.

    Streamlit collects garbage after every run of a page and, with torch, scipy and Plotly loaded,
    walks some 300,000 objects that never go: a quarter of a second in which nothing is sent. By the
    second run all of them are loaded.
    """
    if next(_runs) == 2:
        gc.collect()
        gc.freeze()
