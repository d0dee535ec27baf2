"""What the browser keeps for a visitor for a year: small texts in cookies.

A cookie comes with the first message of a session, so that a page is right from the start; what
scripts store in the browser would come a run later.
"""

import re

import streamlit as st

_PREFIX = "nmrclassify_"
_MOST = 3_500  # characters: a browser drops a cookie of 4 kB
_KEEP = """<script>
document.cookie = '{name}={text}; path=/; max-age=31536000; SameSite=Strict'
  + (location.protocol === 'https:' ? '; Secure' : '');
</script>"""


def recall(name: str) -> str:
    """Return what the browser kept when this session began; empty if nothing."""
    return st.context.cookies.get(_PREFIX + name, "")[:_MOST]


def remember(name: str, text: str) -> None:
    """Make the browser keep a text; call it in each run, after the sidebar.

    Raises
    ------
    ValueError
        If the text is too long, or has characters that a cookie cannot hold.
    """
    if not re.fullmatch(rf"[\w.~-]{{0,{_MOST}}}", text, re.ASCII):
        raise ValueError(
            f"the text to keep is {text[:80]!r}; expected at most {_MOST} letters, digits, . ~ _ -"
        )
    told = f"remembered {name}"
    if told in st.session_state or text != recall(name):
        st.session_state[told] = True
        script = _KEEP.format(name=_PREFIX + name, text=text)
        with st.sidebar:  # at its end: an element without a size still gets a gap
            st.html(script, unsafe_allow_javascript=True)
