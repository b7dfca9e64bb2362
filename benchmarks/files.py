"""Where results and their reports lie."""

import json
from datetime import datetime
from pathlib import Path

from edge.benchmarks import html as pages
from edge.benchmarks import markdown
from edge.benchmarks.results import Document
from edge.errors import EdgeError
from edge.files import write_bytes

_FOLDER = Path("bench")


def results_file(out: Path | None, suite: str | None, html: Path | None, *, resume: bool) -> Path:
    """Return the results file of a measurement that begins or goes on.

    Args:
        out: What the user chose, if anything.
        suite: What is measured, for the name.
        html: Where the page is to go, if the user chose.
        resume: Find the newest unfinished file instead of naming a new one.

    Raises:
        EdgeError: `out` is no .json file or one that may not be replaced, `html` is the same
            file, or there is nothing to go on with.
    """
    if out is not None and (out.suffix != ".json" or out.is_dir()):
        raise EdgeError(f"{out} does not end in .json", f"try --out {out}.json")
    if resume:
        place = _begun(out, suite)
    elif out is not None:
        _require_replaceable(out)
        place = out
    else:
        moment = datetime.now().strftime("%Y%m%d-%H%M%S")
        place = _FOLDER / f"{suite or 'short'}-{moment}.json"
    if html is not None and (html.is_dir() or html in (place, place.with_suffix(".md"))):
        raise EdgeError(f"the page cannot be {html}", "choose another --html")
    return place


def _require_replaceable(path: Path) -> None:
    """Refuse to begin where an unfinished measurement or another file lies."""
    if not path.exists():
        return
    try:
        document = json.loads(path.read_text("utf-8"))
        finished = document["finished"]
        document["results"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EdgeError(
            f"{path} is there already and is no results file", "choose another --out"
        ) from error
    if not finished:
        raise EdgeError(
            f"{path} holds an unfinished measurement", "go on with --resume, or remove it"
        )


def write_reports(document: Document, results: Path, html: Path | None) -> dict[str, Path]:
    """Write the page and the Markdown of a results file.

    Args:
        document: Completed.
        results: Where the results are.
        html: Where the page goes; None for beside the results.

    Returns:
        What there is now, by what it is.

    Raises:
        EdgeError: A file cannot be written.
    """
    page = html or results.with_suffix(".html")
    text = results.with_suffix(".md")
    write_bytes(page, pages.page(document).encode())
    write_bytes(text, markdown.text(document).encode())
    return {"results": results, "page": page, "markdown": text}


def _begun(out: Path | None, suite: str | None) -> Path:
    if out is not None:
        if not out.is_file():
            raise EdgeError(f"there is no {out} to go on with", "begin it without --resume")
        return out
    found = _FOLDER.glob(f"{suite or '*'}-*.json")
    for path in sorted(found, key=lambda one: one.stat().st_mtime, reverse=True):
        try:
            if json.loads(path.read_text("utf-8")).get("finished") is None:
                return path
        except (OSError, ValueError, AttributeError):
            continue
    raise EdgeError(
        f"nothing in {_FOLDER}/ is left to go on with", "name the file with --out, or begin anew"
    )
