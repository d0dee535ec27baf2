"""Pages stay short: at most half of the words that they had before explanations unfolded."""

import json
import re
from pathlib import Path

import pytest

RESULTS = Path(__file__).parents[2] / "docs" / "results" / "words.json"
PAGES = {row["page"]: row for row in json.loads(RESULTS.read_text())["table"] if "before" in row}
KINDS = {"title", "subheader", "markdown", "caption", "success", "info", "warning", "error"}
LABELLED = {"button", "radio", "selectbox", "number_input", "toggle", "slider", "checkbox"}


def visible(block):
    """Yield the texts that a page shows as it opens; what unfolds is closed."""
    for child in block.children.values():
        if child.type in ("expander", "popover"):
            yield child.label if child.type == "expander" else child.proto.popover.label
        elif hasattr(child, "children"):
            yield from visible(child)
        elif child.type in KINDS:
            yield re.sub(r'\]\(\S+( "[^"]*")?\)|:material/\w+:|[*`\[]', " ", child.value)
        elif child.type in LABELLED:
            yield child.label


@pytest.mark.parametrize("page", PAGES)
def test_a_page_opens_with_half_of_the_words(open_page, page):
    app = open_page(page)
    texts = list(visible(app.main))
    words = sum(bool(re.search(r"[^\W\d_]", word)) for text in texts for word in text.split())
    assert words <= PAGES[page]["before"] / 2, (words, texts)
    long = [text for text in texts if len(text) > 40]
    assert len(long) == len(set(long)), "a sentence twice"
