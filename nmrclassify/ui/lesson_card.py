"""An open lesson: a rail at the right of its page; on a narrow screen it stands above the page."""

import re
from collections.abc import Callable
from typing import Any

import streamlit as st

from nmrclassify.lessons import LESSONS
from nmrclassify.lessons.lesson import Facts, Lesson, Step, StepText
from nmrclassify.plots.style import HIGHLIGHT
from nmrclassify.ui import charts, lesson_facts, lesson_progress, url_state

WIDE = 1100  # pixels; in a narrower window there is no room beside the page
# The keyed elements get no gap in the page: the rail takes no room in its column.
_RAIL = """<style>
.st-key-lesson {{ background: {background}; border: 1px solid {line}; border-radius: .5rem;
  padding: .8rem 1rem; gap: .6rem; }}
.st-key-lesson [data-testid="stMarkdownContainer"] p,
.st-key-lesson [data-testid="stMarkdownContainer"] li {{ font-size: {size}; line-height: 1.45; }}
.st-key-lesson h4 {{ padding: 0 0 .75rem; }}
.st-key-lesson-buttons {{ flex-wrap: nowrap; gap: .5rem; }}
.st-key-lesson-buttons button {{ padding: .25rem .6rem; }}
.st-key-lesson-buttons kbd {{ display: none; }}
.st-key-lesson-answer {{ scroll-margin: 4.5rem 0 5rem; }}
{framed}
@media (min-width: {wide}px) {{
  .stMainBlockContainer:has(.st-key-lesson) {{ padding-right: calc({width} + 2rem); }}
  div:has(> .st-key-lesson) {{ position: absolute; }}
  .st-key-lesson {{ position: fixed; top: 3.75rem; right: 0; bottom: 0; width: {width};
    overflow-y: auto; z-index: 90; border-width: 0 0 0 1px; border-radius: 0;
    flex-wrap: nowrap; justify-content: flex-start; }}
  .st-key-lesson > * {{ flex-shrink: 0; }}
  div:has(> .st-key-lesson-buttons) {{ position: sticky; bottom: -.8rem; margin: auto 0 -.8rem;
    padding: .6rem 0 .8rem; background: {background}; border-top: 1px solid {line}; z-index: 1; }}
}}
</style>"""
_FRAMED = """.st-key-{key} {{ outline: 3px solid {colour}; outline-offset: 4px;
  border-radius: .3rem; scroll-margin: 5rem 0 1.5rem; }}"""
# Scrolls once for each step, as soon as the element has its size, and never against the visitor.
_SCROLL = """
export default function({ data, parentElement }) {
  const root = parentElement.querySelector('.root');  // beside Streamlit's style element
  const calm = matchMedia('(prefers-reduced-motion: reduce)').matches;
  const behavior = calm ? 'auto' : 'smooth';
  const narrow = () => innerWidth < data.wide;
  const element = () => document.querySelector(`.stMain .st-key-${data.key}`);
  const cell = (found) => {
    // The framed cell of a map that is taller than the window.
    const plot = found.querySelector('.js-plotly-plot');
    const i = (plot?._fullLayout?.shapes ?? []).findIndex(
      (shape) => shape.line?.color === data.colour && shape.layer !== 'below');
    return i < 0 ? null : plot.querySelector(`.shapelayer [data-index="${i}"]`);
  };
  const whole = (box) => box.top >= 60 && box.bottom <= innerHeight;
  const go = () => {
    const found = element();
    if (!found) return false;
    const box = found.getBoundingClientRect(), inner = cell(found);
    const tall = box.height > innerHeight - 90;
    if (tall && inner) {
      if (!whole(inner.getBoundingClientRect()))
        inner.scrollIntoView({ block: 'center', behavior });
    } else if (!whole(box)) {
      found.scrollIntoView({ block: tall ? 'start' : 'center', behavior });
    }
    return true;
  };
  const ready = () => {
    const found = element();
    if (!found || found.closest('[data-stale=true]')) return false;
    return !found.querySelector('[data-testid=stPlotlyChart]') || found.querySelector('.main-svg');
  };
  root.replaceChildren();
  if (data.key) {
    const button = document.createElement('button');
    button.textContent = 'Show it on the page';
    const back = document.createElement('button');
    back.textContent = '↑ Lesson';
    back.className = 'back';
    back.hidden = true;
    button.onclick = () => { go(); back.hidden = !narrow(); };
    back.onclick = () => {
      back.hidden = true;
      document.querySelector('.st-key-lesson').scrollIntoView({ block: 'start', behavior });
    };
    root.append(button, back);
  }
  const seen = window.nmrclassifyLesson ??= {};
  if (data.answered && seen.answered !== data.step && seen.step === data.step)
    document.querySelector('.st-key-lesson-answer')?.scrollIntoView({ block: 'nearest', behavior });
  seen.answered = data.answered ? data.step : null;
  if (seen.step === data.step) return;
  seen.step = data.step;
  document.querySelector('.st-key-lesson')?.scrollTo(0, 0);
  if (!data.key || narrow()) return;
  let left = 60, steady = 0, stopped = false;
  const stop = () => { stopped = true; };
  const events = ['wheel', 'touchstart', 'keydown', 'pointerdown'];
  events.forEach((name) => addEventListener(name, stop, { once: true, capture: true }));
  const look = () => {
    if (stopped || left-- < 0 || steady > 4) {
      events.forEach((name) => removeEventListener(name, stop, { capture: true }));
      return;
    }
    if (ready()) { go(); steady++; }
    setTimeout(look, 400);
  };
  look();
  return stop;
}
"""
_BUTTON = """
button { font: inherit; font-size: .875rem; cursor: pointer; color: var(--st-text-color);
  background: var(--st-background-color); border: 1px solid #E69F00; border-radius: .5rem;
  padding: .3rem .75rem; font-family: var(--st-font); }
button:hover, button:focus-visible { outline: 2px solid #E69F00; }
.back { position: fixed; right: 1rem; bottom: 1rem; z-index: 100; padding: .6rem 1rem; }
"""


def open_step(lesson: str, part: int) -> None:
    """Open the page of a step in its state; keep the visitor's own page until the lesson ends."""
    step = LESSONS[lesson].steps[part - 1]
    if url_state.get("lesson") is None:
        st.session_state["before the lesson"] = (
            st.session_state.get("link page"),
            url_state.query(),
        )
    large = {"presenter": "yes"} if url_state.get("presenter") else {}
    url_state.replace_all(step.state | {"lesson": lesson, "lesson_step": str(part)} | large)
    st.switch_page(step.page, query_params=url_state.query())


def begin(lesson: str) -> None:
    """Open a lesson at its first step, with all answers hidden."""
    lesson_progress.forget(LESSONS[lesson])
    open_step(lesson, 1)


def leave() -> None:
    """Close the lesson and open the page that the visitor had before it."""
    page, query = st.session_state.pop("before the lesson", ("pages/lessons.py", {}))
    url_state.replace_all(query)
    st.switch_page("pages/lessons.py" if page is None else page, query_params=url_state.query())


def _open() -> tuple[Lesson, int] | None:
    """Return the lesson of the link and its step, counted from 1; None if there is none."""
    name, part = url_state.get("lesson"), url_state.get("lesson_step")
    if name not in LESSONS or part > len(LESSONS[name].steps):
        return None
    return LESSONS[name], part


def is_open_on(page: str) -> bool:
    """Return whether the open step is on a page."""
    opened = _open()
    return opened is not None and opened[0].steps[opened[1] - 1].page == page


def show(page: str) -> None:
    """Draw the lesson that the link names, if any; on the page Lessons with the step's figure."""
    name, part = url_state.get("lesson"), url_state.get("lesson_step")
    lesson_progress.keep()
    if name is None:
        return
    if (opened := _open()) is None:
        st.warning(
            f"There is no step {part} of a lesson {name!r}; the page Lessons has the list.",
            icon=":material/link_off:",
        )
        return
    lesson = opened[0]
    step = lesson.steps[part - 1]
    here = page == step.page
    dark = charts.theme().dark
    key = re.sub(r"[^\w-]", "-", step.target) if here else ""
    st.html(
        _RAIL.format(
            background="#171614" if dark else "#ffffff",
            line="#4a4845" if dark else "#c9c7c2",
            wide=WIDE,
            width="28rem" if charts.theme().large else "22rem",
            size="1.2rem" if charts.theme().large else ".95rem",
            framed=_FRAMED.format(key=key, colour=HIGHLIGHT) if key else "",
        )
    )
    with st.container(key="lesson"):
        if not here:
            _other_page(lesson, part)
            return
        facts = _draw_step(lesson, part, key)
    if page == "pages/lessons.py":
        st.title(step.title)
    if step.figure is not None and facts is not None:
        figure, alt = step.figure(facts, charts.theme()), step.filled(facts).alt
        charts.chart(figure, alt=alt, key="lesson figure", clickable=False)


def _other_page(lesson: Lesson, part: int) -> None:
    st.markdown(f"The lesson **{lesson.title}**, step {part}, is on another page.")
    if st.button("Back to the lesson", icon=":material/school:", width="stretch"):
        open_step(lesson.name, part)
    if st.button("Leave the lesson", icon=":material/close:", width="stretch"):
        leave()


def _draw_step(lesson: Lesson, part: int, key: str) -> Facts | None:
    """Draw a step, or how far its computation is; return its facts, None while they are lacking."""
    step, here = lesson.steps[part - 1], f"{lesson.name} {part}"
    st.caption(f"{lesson.title}, step {part} of {len(lesson.steps)}")
    st.markdown(f"#### {step.title}")
    live = f"live {step.facts.name}" in st.session_state
    facts = lesson_facts.facts_of(step.facts, live)
    if facts is None and live:
        facts = lesson_facts.facts_of(step.facts)
    words = None if facts is None else step.filled(facts)
    if words is None:
        lesson_facts.watch(lesson_facts.start(step.facts))
    else:
        _draw_text(lesson, part, words)
    _pointer()(
        key="lesson target",
        data={
            "key": key,
            "step": here,
            "answered": lesson_progress.is_revealed(lesson, part),
            "wide": WIDE,
            "colour": HIGHLIGHT,
        },
    )
    if words is not None:
        _compute_now(step, here)
    _buttons(lesson, part, here)
    return facts


@st.cache_resource(max_entries=1, show_spinner=False)
def _pointer() -> Callable[..., Any]:
    return st.components.v2.component(
        "nmrclassify_lesson_target", html="<div class='root'></div>", css=_BUTTON, js=_SCROLL
    )


def _draw_text(lesson: Lesson, part: int, words: StepText) -> None:
    here = f"answer {lesson.name} {part}"
    st.markdown(words.text)
    if lesson_progress.is_revealed(lesson, part):
        with st.container(key="lesson-answer"):
            _reveal(words, lesson_progress.choice(lesson, part))
        return
    st.radio(
        f"**{words.question}**",
        range(len(words.options)),
        index=None,
        # Texts, not a function of the step: Streamlit keeps it for the whole session.
        format_func=dict(enumerate(words.options)).get,
        key=here,
    )
    st.button(
        "Reveal the answer",
        on_click=_answer,
        args=(lesson, part, here),
        icon=":material/lightbulb:",
        shortcut="Alt+A",
        key=f"reveal {here}",
        width="stretch",
    )


def _answer(lesson: Lesson, part: int, key: str) -> None:
    chosen = st.session_state.get(key)
    letter = lesson_progress.REVEALED if chosen is None else str(chosen + 1)
    lesson_progress.mark(lesson, part, letter)


def _reveal(words: StepText, chosen: int | None) -> None:
    chosen = None if chosen is None else min(chosen, len(words.options) - 1)
    answer = words.options[words.answer]
    lines = [
        f"{'✓' if i == words.answer else '✗' if i == chosen else '○'} {option}"
        for i, option in enumerate(words.options)
    ]
    st.markdown("  \n".join([f"**{words.question}**", *lines]))
    if chosen is None:
        st.info(f"The answer: {answer}.")
    elif chosen == words.answer:
        st.success(f"Right: {answer}.")
    else:
        st.warning(f"Not quite. You chose: {words.options[chosen]}. The answer: {answer}.")
    st.markdown(words.reveal)
    marks = [f"{'✓' if holds else '✗ not true here:'} {claim}" for claim, holds in words.claims]
    if marks:
        st.markdown("  \n".join(["Computed by this app:", *marks]))


def _compute_now(step: Step, here: str) -> None:
    """Offer to compute the step's facts at once, with how far it is, and compare the result."""
    flag = f"live {step.facts.name}"
    if flag in st.session_state:
        found = lesson_facts.facts_of(step.facts, live=True)
        if found is None:
            lesson_facts.watch(lesson_facts.start(step.facts))
        else:
            st.caption(lesson_facts.compared(step.facts, found))
        return
    st.button(
        "Train it now" if step.facts.trains else "Compute it now",
        on_click=_compute_again,
        args=(step, flag),
        icon=":material/replay:",
        key=f"live {here}",
        type="tertiary",
        help="The figures of this step are packaged. The app computes them again in about"
        f" {max(step.facts.seconds, 1):.0f} s.",
    )


def _compute_again(step: Step, flag: str) -> None:
    lesson_facts.forget(step.facts)
    st.session_state[flag] = True


def _buttons(lesson: Lesson, part: int, here: str) -> None:
    last, following = part == len(lesson.steps), next_lesson(lesson)
    with st.container(key="lesson-buttons", horizontal=True):
        if st.button(
            "Back",
            icon=":material/chevron_left:",
            disabled=part == 1,
            shortcut="Alt+B",
            key=f"back {here}",
        ):
            open_step(lesson.name, part - 1)
        # Its key has the step: a second press while the next step opens does nothing.
        if (following or not last) and st.button(
            "Next lesson" if last else "Next step",
            icon=":material/chevron_right:",
            icon_position="right",
            shortcut="Alt+N",
            key=f"next {here}",
        ):
            lesson_progress.mark(lesson, part, lesson_progress.PASSED)
            if last and following:
                begin_or_go_on(following)
            else:
                open_step(lesson.name, part + 1)
        if st.button(
            "Leave", icon=":material/close:", key=f"leave {here}", help="Leave the lesson"
        ):
            leave()


def begin_or_go_on(lesson: Lesson) -> None:
    """Open a lesson at its first step that is not done; if all are done, begin it again."""
    part = lesson_progress.next_part(lesson)
    if part is None:
        begin(lesson.name)
    else:
        open_step(lesson.name, part)


def next_lesson(lesson: Lesson) -> Lesson | None:
    """Return the lesson after this one, None after the last."""
    names = list(LESSONS)
    place = names.index(lesson.name) + 1
    return LESSONS[names[place]] if place < len(names) else None
