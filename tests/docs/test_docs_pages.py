"""The documentation says what is there: links, paths, targets, codes and examples are real."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hanse.audit import EventType
from hanse.errors import CATALOGUE

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
INLINE = re.compile(r"`([^`\n]+)`")

by_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def spans(page: Path) -> Iterator[str]:
    yield from INLINE.findall(prose(page))


@by_page
def test_links_resolve(page: Path) -> None:
    for target in LINK.findall(prose(page)):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        there = (page.parent / name).resolve() if name else page
        assert there.exists(), f"{target} leads nowhere"
        assert there.is_relative_to(ROOT), f"{target} leaves the repository"
        if anchor:
            assert anchor in anchors(there), f"{target}: no such heading"


@by_page
def test_named_paths_and_tests_exist(page: Path) -> None:
    folders = "benchmarks|cli|client|core|docs|examples|policies|protos|server|tests"
    for span in spans(page):
        if not re.fullmatch(rf"(\.ci|{folders})/[\w./:-]*", span) or "…" in span:
            continue
        name, _, test = span.partition("::")
        assert (ROOT / name).exists(), f"there is no {name}"
        if test:
            assert f"def {test}(" in (ROOT / name).read_text(encoding="utf-8"), f"{name} has no {test}"


@by_page
def test_named_make_targets_exist(page: Path) -> None:
    targets = set(
        re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    )
    for target in re.findall(r"(?:^|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE):
        assert target in targets


@by_page
def test_named_codes_exist(page: Path) -> None:
    known = {*CATALOGUE, *EventType}
    areas = "|".join({code.partition(".")[0] for code in known})
    for span in spans(page):
        if re.fullmatch(rf"({areas})\.[a-z]+(-[a-z]+)*", span) and not span.endswith(
            (".csv", ".json", ".toml")
        ):
            assert span in known, f"{span} is neither an error code nor an event"


@by_page
def test_python_examples_run_and_print_what_the_page_says(page: Path, tmp_path: Path) -> None:
    fences = FENCE.findall(page.read_text(encoding="utf-8"))
    blocks = [body for info, body in fences if info == "python"]
    printed = "".join(body for info, body in fences if info == "text output")
    if blocks:  # the blocks of one page are one program
        program = [sys.executable, "-c", "\n".join(blocks)]
        done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == printed


def test_glossary_has_each_term_once_in_order() -> None:
    text = (ROOT / "docs/glossary.md").read_text(encoding="utf-8")
    terms = re.findall(r"^\| ([^|]+?) \| ", text, re.MULTILINE)[1:]
    assert len(terms) > 30
    assert terms == sorted(set(terms), key=str.casefold)


def test_generated_pages_are_those_of_the_code() -> None:
    program = [sys.executable, str(ROOT / "docs/generate.py"), "--check"]
    done = subprocess.run(program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_decision_records_are_all_listed() -> None:
    index = (ROOT / "docs/adr/README.md").read_text(encoding="utf-8")
    records = sorted(path.name for path in (ROOT / "docs/adr").glob("[0-9]*.md"))
    assert re.findall(r"\]\((\d{4}-[\w-]+\.md)\)", index) == records


def test_every_page_is_reachable_from_the_index() -> None:
    seen: set[Path] = set()
    todo = [ROOT / "docs/index.md"]
    while todo:
        page = todo.pop()
        if page in seen:
            continue
        seen.add(page)
        links = {target.partition("#")[0] for target in LINK.findall(prose(page)) if "://" not in target}
        todo += [(page.parent / link).resolve() for link in links if link.endswith(".md")]
    assert set(PAGES) <= seen
