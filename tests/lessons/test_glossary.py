"""The glossary: its terms, their links, and the document that is written from it."""

import re
from pathlib import Path

import pytest

from nmrclassify.lessons.glossary import GROUPS, TERMS, as_markdown, term

ROOT = Path(__file__).parents[2]


def test_the_document_is_written_from_the_table():
    assert (ROOT / "docs/glossary.md").read_text(encoding="utf-8") == as_markdown()


def test_every_term_has_an_anchor_of_its_own_and_plain_sentences():
    terms = [one for group in GROUPS.values() for one in group]
    assert len(TERMS) == len({one.anchor for one in terms}) == len(terms)
    for one in terms:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", one.anchor)
        sentences = re.split(r"(?<=\.)\s", one.meaning)
        assert one.meaning.endswith(".") and '"' not in one.meaning  # it is the title of a link
        assert len(sentences) <= 3
        assert all(len(sentence.split()) <= 24 for sentence in sentences), one.name


def test_a_term_is_linked_to_its_anchor():
    assert term("mask") == f'[mask](glossary#mask "{TERMS["mask"].meaning}")'
    assert term("SI-SDR improvement", "SI-SDR").startswith("[SI-SDR](glossary#si-sdr-improvement ")
    with pytest.raises(ValueError, match="term is 'musk'; expected one of ppm"):
        term("musk")
