from nmrclassify.bench import spectra


def test_one_spectrum_is_identified_by_every_method():
    result = spectra.one(104)
    scores = result["scores"]
    assert set(scores) == set(spectra.METHODS)
    right = {method: score.counts[0].right for method, score in scores.items()}
    # The axis is .15 ppm off, and the sample holds a reference.
    assert result["standard"] and result["off"] < 0.001
    # Found within .001 ppm: at most one compound, next to the threshold, is lost by that.
    assert right["processed, offset known"] - right["processed"] in (0, 1)
    assert right["processed"] > right["local maxima"]
    assert result["peaks"].axis.mhz == result["mhz"]
    mixture = spectra._as_mixture(result)
    tuned, _ = spectra.tune(
        spectra._least_squares, spectra.SETTINGS[:1], spectra._library(), {0.0: [mixture]}
    )
    score = spectra._classical([result], tuned)
    assert score.counts[0].present == scores["processed"].counts[0].present
