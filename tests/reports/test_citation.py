"""How to cite, by the official schema of the Citation File Format 1.2.0: of this repository, and of a package.

The schema is `reference/cff_1_2_0.schema.json`, as cffconvert 2.0.0 carries it, unchanged. It is by Stephan Druskat, Jurriaan
H. Spaaks and the Citation File Format contributors, under CC BY 4.0 (https://citation-file-format.github.io/1.2.0/schema.json).
cffconvert itself needs a jsonschema below 4 and cannot stand beside our other tools.
"""

import json
import tomllib
from pathlib import Path

import jsonschema
import pytest
import yaml

from analysis import describe
from registry import Registry, cut
from reports import publication
from reports.publication import export

ROOT = Path(__file__).parents[2]
SCHEMA = json.loads((ROOT / "tests/reference/cff_1_2_0.schema.json").read_text("utf-8"))


class Plain(yaml.SafeLoader):
    """YAML whose dates stay text: the schema says that who validates has to cast them."""


Plain.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if tag != "tag:yaml.org,2002:timestamp"]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def wrong(text: str) -> list[str]:
    checker = jsonschema.Draft7Validator(SCHEMA, format_checker=jsonschema.FormatChecker())
    return [f"{'.'.join(map(str, e.path))}: {e.message}" for e in checker.iter_errors(yaml.load(text, Plain))]


@pytest.fixture(scope="module")
def of_packages(synthetic_file, tmp_path_factory):
    """Citations of a package of a registry and of one of its cut."""
    folder = tmp_path_factory.mktemp("cited")
    copy = folder / "six.duckdb"
    copy.write_bytes(synthetic_file.read_bytes())
    (folder / "six.duckdb.key").write_bytes(Path(f"{synthetic_file}.key").read_bytes())
    told = {}
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(publication, "_QUESTIONS", {"characteristics": describe})
        for name, path in (("registry", copy), ("cut", cut.cut(copy, "2026-spring", folder))):
            with Registry.open(path) as opened:
                made = export(opened, folder / f"package-{name}", "osteoarthritis")
            told[name] = (made.folder / "CITATION.cff").read_text("utf-8")
    return told


def test_the_schema_is_the_official_one_and_refuses_what_it_should():
    assert SCHEMA["$id"] == "https://citation-file-format.github.io/1.2.0/schema.json"
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    for broken, said in (
        (text.replace("type: software", "type: programme"), "type"),
        (text.replace("cff-version: 1.2.0", "cff-version: 9.9.9"), "cff-version"),
        (text.replace("authors:\n", "author:\n"), "author"),
        (text.replace("date-released: 2", "date-released: 12"), "date-released"),
        (text.replace("license: Apache-2.0", "license: Apache 2"), "license"),
    ):
        assert broken != text and any(said in told for told in wrong(broken)), said


def test_the_citation_of_the_repository_is_valid_and_says_what_the_project_file_says():
    text = (ROOT / "CITATION.cff").read_text("utf-8")
    assert wrong(text) == []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    told = yaml.load(text, Plain)
    assert (told["version"], told["license"]) == (project["version"], project["license"])
    assert [a["name"] for a in told["authors"]] == [a["name"] for a in project["authors"]]


def test_the_citation_of_a_package_is_valid_with_a_cut_and_without(of_packages):
    for name, text in of_packages.items():
        assert wrong(text) == [], name
        told = yaml.load(text, Plain)
        assert told["type"] == "dataset" and len(told["date-released"]) == 10
        assert ("identifiers" in told) == (name == "cut")
        assert wrong(text.replace(f"date-released: {told['date-released']}", "date-released: soon")), name
