"""The same training code on Keras' other backends: two steps, then a model that can be opened."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

_TWO_STEPS = """
import sys
from dataclasses import replace
from pathlib import Path

import keras
import numpy as np

from edge.contract import InputContract
from edge.train.facecache import Faces
from edge.train.loop import Trainer
from edge.train.pupils import Pupils
from edge.train.recipe import Phase
from edge.train.recipes import recipe_named

assert keras.backend.backend() == sys.argv[1]
assert "tensorflow" not in sys.modules
contract = InputContract(width=32, height=32)
random = np.random.default_rng(0)
wide = random.integers(0, 256, (16, 42, 42, 3)).astype(np.uint8)
labels = random.integers(0, 2, (16, 2)).astype(np.float32)
places = np.stack([np.zeros(16, np.int64), np.arange(16)], axis=1)
faces = Faces(contract, (5, 5), (wide,), places, labels, {})
even = np.ones(2, np.float32), np.ones(2, np.float32)
pupils = Pupils(faces=faces, validation=faces, attributes=("a", "b"), answers=2, own=2,
                class_weights=even)
head = Phase(name="head", epochs=1, trains="head", learning_rate=1e-2, statistics=False)
rest = Phase(name="rest", epochs=1, learning_rate=1e-3)
recipe = replace(recipe_named("default"), contract=contract, batch=8, phases=(head, rest),
                 network=sys.argv[2])
trainer = Trainer(recipe, pupils, seed=0, policy="mixed_bfloat16")
before = trainer.trained.get_weights()
trainer.fit(Path(sys.argv[3]) / "checkpoint.npz", print)
after = trainer.trained.get_weights()
assert all(np.isfinite(one).all() for one in after)
assert sum(not np.array_equal(a, b) for a, b in zip(before, after)) > 4
model = trainer.best_model()
model.save(Path(sys.argv[3]) / "model.keras")
again = keras.saving.load_model(Path(sys.argv[3]) / "model.keras")
crops = faces.crops(range(4)).astype(np.float32)
ours, theirs = (keras.ops.convert_to_numpy(one(crops)) for one in (model, again))
assert np.allclose(ours, theirs, atol=1e-5)
assert ((ours > 0) & (ours < 1)).all()
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
@pytest.mark.parametrize(
    "network", ["compact", pytest.param("mobilenet-v2-0.35", marks=pytest.mark.slow)]
)
def test_two_steps_on_another_backend(backend, network, tmp_path):
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    child = subprocess.run(
        [sys.executable, "-P", "-c", _TWO_STEPS, backend, network, str(tmp_path)],
        # Compiled as quickly as may be, since each kernel runs but a few times.
        env=os.environ
        | {
            "KERAS_BACKEND": backend,
            "XLA_FLAGS": "--xla_backend_optimization_level=0 "
            "--xla_llvm_disable_expensive_passes=true",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert child.returncode == 0, child.stderr
    assert child.stdout.count("rest, epoch 1/1") == 1
