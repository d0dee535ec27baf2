"""The menu of scenes, and the sentence that says what to look at in the scene that is shown."""

import streamlit as st

from nmrclassify.lessons.scenes import SCENES, Scene
from nmrclassify.ui import lesson_card, url_state


def _open(scene: Scene) -> None:
    if "lesson" in scene.state:
        lesson_card.open_step(scene.state["lesson"], int(scene.state["lesson_step"]))
    large = {"presenter": "yes"} if url_state.get("presenter") else {}
    st.session_state.pop("undone", None)
    url_state.replace_all(scene.link() | large)
    st.switch_page(scene.page, query_params=url_state.query())


def menu() -> None:
    """Draw the menu; each entry opens its scene."""
    popover = st.popover("Scenes", icon=":material/theaters:", type="tertiary")
    with popover.container(gap=None):
        for scene in SCENES:
            if st.button(scene.title, key=f"scene {scene.title}", type="tertiary"):
                _open(scene)


def shown(page: str) -> Scene | None:
    """Return the scene that the page shows now; None if it is in another state."""
    state = url_state.query()
    return next(
        (scene for scene in SCENES if scene.page == page and scene.link() == state),
        None,
    )


def describe(page: str) -> None:
    """Write what to look at, if the page shows a scene without a lesson."""
    scene = shown(page)
    if scene is not None and "lesson" not in scene.state:
        st.markdown(f":material/theaters: **{scene.title}.** {scene.text}")
