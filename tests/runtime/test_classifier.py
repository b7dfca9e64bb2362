from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.errors import EdgeError
from edge.modelfile import read_model
from edge.runtime.classifier import Classifier, labels, named


def test_one_face_and_several_agree(small_model: Path) -> None:
    classifier = Classifier(read_model(small_model))
    crops = np.random.default_rng(0).integers(0, 256, (3, 80, 80, 3), np.uint8)
    several = classifier.classify(crops)
    assert several.shape == (3, 2)
    assert several.dtype == np.float32
    assert np.array_equal(several[1], classifier.probabilities(crops[1]))
    assert ((several >= 0) & (several <= 1)).all()
    assert classifier.classify(crops[:0]).shape == (0, 2)


def test_a_label_is_at_or_above_its_threshold(small_model: Path) -> None:
    model = read_model(small_model)
    classifier = Classifier(replace(model, card=replace(model.card, thresholds=(0.25, 0.75))))
    assert labels(classifier, np.array([0.25, 0.75], np.float32)) == ("Smiling", "Male")
    assert labels(classifier, np.array([0.2, 0.8], np.float32)) == ("Male",)
    assert labels(classifier, np.array([np.nan, 0.7], np.float32)) == ()


def test_of_people_the_best_one_is_the_label(small_model: Path) -> None:
    model = read_model(small_model)
    card = replace(model.card, task="identity", attributes=("Ann", "Bob"), thresholds=(0.0, 0.5))
    classifier = Classifier(replace(model, card=card))
    assert labels(classifier, np.array([0.7, 0.6], np.float32)) == ("Ann",)
    assert labels(classifier, np.array([0.3, 0.5], np.float32)) == ("Bob",)
    assert labels(classifier, np.array([0.1, 0.4], np.float32)) == ()
    assert named(classifier, np.array([0.25, 0.5], np.float32)) == {"Bob": 0.5, "Ann": 0.25}


def test_attributes_are_named_in_their_order(small_model: Path) -> None:
    classifier = Classifier(read_model(small_model))
    assert list(named(classifier, np.array([0.25, 0.5], np.float32)).items()) == [
        ("Smiling", 0.25), ("Male", 0.5),
    ]  # fmt: skip


def test_another_input_than_the_card_says_is_refused(small_model: Path) -> None:
    model = read_model(small_model)
    contract = replace(model.card.contract, width=48)
    with pytest.raises(EdgeError, match=r"takes 1×80×80×3, .* says 1×80×48×3"):
        Classifier(replace(model, card=replace(model.card, contract=contract)))


def test_another_number_of_outputs_than_the_card_says_is_refused(small_model: Path) -> None:
    model = read_model(small_model)
    card = replace(model.card, attributes=("Smiling",), thresholds=(0.5,))
    with pytest.raises(EdgeError, match=r"gives 1×2 values, .* names 1×1 \(Smiling\)"):
        Classifier(replace(model, card=card))
