"""The visit of a session: it is found again after a reload by a key that the browser keeps."""

import os
import secrets

import streamlit as st

from nmrclassify.training import run_files, runs, visits
from nmrclassify.training.visits import Visit

COOKIE = "nmrclassify_visit"
# Until the browser is closed, not for scripts of other sites, and never in a link.
_KEEP = """<script>
document.cookie = '{cookie}={key}; path=/; SameSite=Strict'
  + (location.protocol === 'https:' ? '; Secure' : '');
</script>"""


def _kept_key() -> str:
    """Return the key that the browser has kept; empty if there is none."""
    key = st.context.cookies.get(COOKIE, "")
    return key if visits.KEY.fullmatch(key) else ""


def this_visit() -> Visit:
    """Return this visitor's visit, which is seen now."""
    if "visit" not in st.session_state:
        st.session_state["visit"] = _kept_key() or secrets.token_urlsafe(24)
    return visits.find(st.session_state["visit"])


def keep_visit() -> None:
    """Make the browser keep the key of this visit, and see the visit while a page is open."""
    seconds = None if this_visit().job is None else visits.END_SECONDS / 10
    if _kept_key() != (key := st.session_state["visit"]):
        st.html(_KEEP.format(cookie=COOKIE, key=key), unsafe_allow_javascript=True)
    st.fragment(this_visit, run_every=seconds)()


def own_runs() -> list[runs.Run]:
    """Return the runs that this visitor may open: those of this visit and of the command line.

    The environment variable NMRCLASSIFY_ALL_RUNS=1 allows all, for a server with one user. The
    address of a request does not identify a user: it can be that of a proxy.
    """
    all_runs = os.environ.get("NMRCLASSIFY_ALL_RUNS") == "1"
    visit = this_visit().digest
    return [
        run
        for run in runs.listed()
        if all_runs or run.made_by == "cli" or run_files.is_of_visit(run.folder, visit)
    ]
