"""The page Train or load: what is loaded, and which data a training has."""

from nmrclassify.training import checkpoints, runs, visits

TRAIN = "pages/train.py"


def control(app, label: str, kind: str = "selectbox"):
    """Return the control with this label."""
    return next(one for one in app.get(kind) if one.label == label)


def test_a_run_opened_by_link_shows_its_kind_its_curves_and_its_settings(open_page, run_id):
    app = open_page(TRAIN, preset="quick", seed=3, model=run_id)
    assert "Loaded: Run 20260101-000000" in app.texts
    assert "**Queries**, 64 filters, on **Quick**, seed 3" in app.texts
    assert len(app.figure("loaded curves")["data"]) >= 3
    assert any("saved steps" in link.proto.label for link in app.get("page_link"))
    assert control(app, "Network").value == "queries"
    assert control(app, "Steps", "number_input").value != 30
    control(app, "Network").select("slots").run()
    app.run()
    assert control(app, "Network").value == "slots"  # a choice is not taken back
    app.press("Use its settings")
    assert control(app, "Steps", "number_input").value == 30
    assert control(app, "Network").value == "queries"
    assert (app.link["steps"], app.link["batch_size"]) == ("30", "16")


def test_an_upload_is_confirmed_and_the_controls_say_its_kind(open_page, trained):
    app = open_page(TRAIN, preset="quick", network="queries")
    app.upload("Checkpoint (.safetensors)", checkpoints.to_bytes(trained), "mine.safetensors")
    (said,) = [box.value for box in app.success]
    assert said == "`mine.safetensors` is loaded: Slots, 12 steps. All pages use it now."
    assert control(app, "Network").value == "slots"
    assert "Loaded: Uploaded model" in app.texts
    assert "carries no curves" in app.texts
    control(app, "Data").select("metabolites").run()
    assert not app.success
    assert "`mine.safetensors` is kept: Slots, 12 steps" in app.texts
    app.press("Use it")
    assert [box.value for box in app.success] == [said]
    assert app.link["model"] == "upload"


def test_a_training_says_its_data_and_starting_anew_asks(open_page):
    app = open_page(TRAIN, preset="quick", steps=50_000, network="queries")
    app.press("One step")  # there is a model to keep, without waiting for the process
    app.press("Continue")
    visit = visits.VISITS.find(app.session_state["visit"])
    first = visit.job
    assert first.active
    assert "This training: **Queries**, 64 filters, on **Quick**, seed 7" in app.texts
    assert "other data" not in app.texts
    assert not app.has_button("Start")
    control(app, "Data").select("metabolites").run()
    assert "This training: **Queries**, 64 filters, on **Quick**, seed 7" in app.texts
    assert "The sidebar shows other data" in app.texts
    app.press("Start anew")
    assert "End the present training?" in app.texts
    assert "The new one trains **Queries** on **Metabolites**, seed 7" in app.texts
    app.press("Let it go on")
    assert "End the present training?" not in app.texts
    assert visit.job is first and first.active
    app.press("Show its data")
    assert control(app, "Data").value == "quick"
    assert app.link["model"] == "training"
    assert "other data" not in app.texts
    assert not app.has_button("Start anew")
    control(app, "Data").select("metabolites").run()
    app.press("Start anew")
    app.press("End it and start")
    assert visit.job is not first and visit.job.dataset.preset == "metabolites"
    assert first.state == "stopped"
    assert [run.id for run in runs.listed()] == [first.run_id]
    assert f"The training before is kept as run `{first.run_id}`" in app.texts


def test_a_paused_training_of_some_seconds_is_kept_by_a_new_seed(open_page, monkeypatch):
    app = open_page(TRAIN, preset="quick", steps=50_000)
    app.press("One step")
    app.press("Reset")
    assert runs.listed() == []
    app.press("One step")
    monkeypatch.setattr("nmrclassify.ui.training_controls.KEPT_SECONDS", 0)
    app.press("New seed")
    assert len(runs.listed()) == 1
    assert "is kept as run" in app.texts
