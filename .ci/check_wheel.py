"""Compare a wheel with the modules and data of the repository."""

import subprocess
import sys
import zipfile

FOLDERS = ("edge", "train", "convert", "runtime", "benchmarks", "devices")
SUFFIXES = (".py", ".toml", ".css", ".html", ".js", ".typed", ".tflite", ".json")


def expected() -> set[str]:
    """Return the names that the files of the repository have in a wheel."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *FOLDERS]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    kept = [name for name in listed if name.endswith(SUFFIXES)]
    return {name if name.startswith("edge/") else f"edge/{name}" for name in kept}


def main() -> None:
    """Exit with the names that stand in only one of the two."""
    with zipfile.ZipFile(sys.argv[1]) as wheel:
        found = {name for name in wheel.namelist() if ".dist-info/" not in name}
    if missing := sorted(expected() - found):
        sys.exit(f"the wheel lacks {', '.join(missing)}")
    if surplus := sorted(found - expected()):
        sys.exit(f"the wheel has {', '.join(surplus)}, which the repository has not")


main()
