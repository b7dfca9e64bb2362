"""Compare a wheel, and the one that `edge flash` sends, with the files of the repository."""

import io
import subprocess
import sys
import zipfile

from edge.devices.wheels import own_wheel

FOLDERS = ("edge", "train", "convert", "runtime", "benchmarks", "devices")
SUFFIXES = (".py", ".toml", ".css", ".html", ".js", ".typed", ".tflite", ".json")


def expected() -> set[str]:
    """Return the names that the files of the repository have in a wheel."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *FOLDERS]
    listed = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    kept = [name for name in listed if name.endswith(SUFFIXES)]
    return {name if name.startswith("edge/") else f"edge/{name}" for name in kept}


def found(file: str | io.BytesIO) -> set[str]:
    """Return the names of a wheel's files, without those that tell of it."""
    with zipfile.ZipFile(file) as wheel:
        return {name for name in wheel.namelist() if ".dist-info/" not in name}


def compare(what: str, names: set[str], wanted: set[str], where: str) -> None:
    """Exit with the names that stand in only one of the two."""
    if missing := sorted(wanted - names):
        sys.exit(f"{what} lacks {', '.join(missing)}")
    if surplus := sorted(names - wanted):
        sys.exit(f"{what} has {', '.join(surplus)}, which {where} has not")


def main() -> None:
    """Compare the wheel with the repository, and the one that is sent with the wheel."""
    built = found(sys.argv[1])
    compare("the wheel", built, expected(), "the repository")
    compare("the wheel that is sent to boards", found(io.BytesIO(own_wheel())), built, "the wheel")


main()
