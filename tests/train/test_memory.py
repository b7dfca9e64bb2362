import os
import subprocess
import sys
from pathlib import Path

import pytest

# Prints the most memory that the process had, in MB.
_TRAIN = """
import resource, sys
from dataclasses import replace
from pathlib import Path
from edge.contract import InputContract
from edge.train.recipes import recipe_named
from edge.train import job as jobs, run
recipe = recipe_named("default")
recipe = replace(recipe, contract=InputContract(width=32, height=32),
                 phases=(replace(recipe.phases[0], epochs=1),))
job = jobs.Job(recipe=recipe, data=((Path(sys.argv[1]), "auto"),), attributes=("Smiling", "Male"))
run.train(job, Path(sys.argv[2]), resume=False, report=lambda line: None)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def _linked(data: Path, times: int, root: Path) -> Path:
    """Make a CelebA whose training pictures are those of another, each linked so many times."""
    pictures = root / "img_align_celeba"
    pictures.mkdir(parents=True)
    labels = (data / "list_attr_celeba.csv").read_text().splitlines()
    splits = (data / "list_eval_partition.csv").read_text().splitlines()
    files = {path.stem: path for path in (data / "img_align_celeba").iterdir()}
    new_labels, new_splits = labels[:1], splits[:1]
    for row, split in zip(labels[1:], splits[1:], strict=True):
        (name, values), (other, part) = row.split(",", 1), split.split(",")
        assert name == other
        file = files.get(name.partition(".")[0])
        for turn in range(times if part == "0" else 1) if file else ():
            new_labels.append(f"{turn}-{name},{values}")
            new_splits.append(f"{turn}-{name},{part}")
            (pictures / f"{turn}-{file.name}").symlink_to(file)
    (root / "list_attr_celeba.csv").write_text("\n".join(new_labels))
    (root / "list_eval_partition.csv").write_text("\n".join(new_splits))
    return root


def _peak_mb(data: Path, run: Path) -> float:
    done = subprocess.run(
        [sys.executable, "-c", _TRAIN, str(data), str(run)],
        capture_output=True, text=True, check=True, env=os.environ | {"EDGE_HOME": str(run.parent)},
    )  # fmt: skip
    return float(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.timeout(5400)
def test_ten_times_the_pictures_take_no_more_memory(data_dir, tmp_path):
    few = _peak_mb(_linked(data_dir / "celeba", 1, tmp_path / "few"), tmp_path / "run-few")
    many = _peak_mb(_linked(data_dir / "celeba", 10, tmp_path / "many"), tmp_path / "run-many")
    assert many < 1.1 * few, f"20,000 pictures: {few:.0f} MB, 200,000: {many:.0f} MB"
