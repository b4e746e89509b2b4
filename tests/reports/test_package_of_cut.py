"""A package of a data cut names the cut, is made again from it and from nothing else, and knows what decided its bytes."""

import ast
import importlib.metadata
import json
import shutil
from pathlib import Path

import pytest
import yaml
from rocrate.rocrate import ROCrate
from typer.testing import CliRunner

import analysis
import registry as registry_package
import reports
from analysis import describe, time_to_response
from registry import Registry, cut, derive
from registry.errors import UsageError
from registry.ingest import load
from reports import publication
from reports.cli import app
from reports.fingerprint import versions_of_files
from reports.publication import export
from reports.reproduction import reproduce
from reports.rows import RowTerms, export_rows


@pytest.fixture(scope="module", autouse=True)
def asked():
    """Two questions are enough: the package is the same otherwise."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(publication, "_QUESTIONS", {"characteristics": describe, "time_to_response": time_to_response})
        yield


@pytest.fixture(scope="module")
def frozen(template_folder, tmp_path_factory):
    folder = tmp_path_factory.mktemp("frozen")
    Registry.create(folder / "six.duckdb", key=b"k" * 32).close()
    load(folder / "six.duckdb", [template_folder])
    derive(folder / "six.duckdb")
    return folder / "six.duckdb", cut.cut(folder / "six.duckdb", "2026-spring", folder / "cuts")


@pytest.fixture(scope="module")
def package(frozen, tmp_path_factory):
    with Registry.open(frozen[1]) as opened:
        return export(opened, tmp_path_factory.mktemp("of") / "package", "osteoarthritis")


def manifest(folder: Path, name: str = "MANIFEST.json") -> dict:
    return json.loads((folder / name).read_text("utf-8"))


def test_manifest_crate_methods_readme_and_citation_say_which_cut_it_was(frozen, package):
    held = manifest(frozen[1])
    told = manifest(package.folder)["cut"]
    assert told == {
        "name": "2026-spring", "of": "six.duckdb", "data_cut": held["data_cut"], "made_at": held["made_at"],
        "chain": held["chain"], "sha256": cut.seal(frozen[1]),
    }  # fmt: skip
    sentence = f"The data are those of the cut 2026-spring, frozen on {held['made_at'][:10]} (SHA-256 of its manifest: "
    for name in ("methods.md", "README.md"):
        assert f"{sentence}{told['sha256']})." in (package.folder / name).read_text("utf-8"), name
    crate = ROCrate(package.folder)
    made = crate.get("#made")
    assert made["object"].id == "#cut" and crate.get("#cut")["sha256"] == told["sha256"]
    assert crate.get("#cut")["name"] == "Data cut 2026-spring" and held["data_cut"] in crate.get("#cut")["description"]
    cited = yaml.safe_load((package.folder / "CITATION.cff").read_text("utf-8"))
    assert cited["identifiers"][0]["value"] == f"sha256:{told['sha256']}"


def test_a_package_of_a_cut_is_made_again_by_the_commands(frozen, tmp_path):
    run, out = CliRunner(), tmp_path / "package"
    done = run.invoke(app, ["export", str(frozen[1]), "--programme", "osteoarthritis", "--out", str(out)])
    assert done.exit_code == 0, done.output
    again = run.invoke(app, ["reproduce", str(frozen[1]), str(out)])
    assert (again.exit_code, again.output) == (0, "Every file is the same, byte for byte.\n")


def test_another_registry_and_another_cut_are_refused_with_both_named(frozen, package, tmp_path):
    other = cut.cut(frozen[0], "2026-summer", tmp_path)
    with Registry.open(other) as opened, pytest.raises(UsageError) as said:
        reproduce(opened, package.folder)
    assert "from the data cut 2026-spring" in str(said.value) and "is the data cut 2026-summer" in str(said.value)
    assert cut.seal(frozen[1])[:12] in str(said.value) and cut.seal(other)[:12] in str(said.value)
    with Registry.open(frozen[0]) as opened:
        with pytest.raises(
            UsageError, match=r"six\.duckdb is a registry that is no data cut\. Give the folder of that"
        ):
            reproduce(opened, package.folder)
        live = export(opened, tmp_path / "live", "osteoarthritis")
        assert manifest(live.folder)["cut"] is None
        assert "no data cut was named" in (live.folder / "methods.md").read_text("utf-8")
        assert ROCrate(live.folder).get("#cut") is None
        assert reproduce(opened, live.folder).differ == ()
    with Registry.open(frozen[1]) as opened, pytest.raises(UsageError, match="from a registry, not from a data cut"):
        reproduce(opened, live.folder)


def test_the_same_cut_in_another_place_is_the_same_cut(frozen, package, tmp_path):
    shutil.copytree(frozen[1], tmp_path / "moved")
    with Registry.open(tmp_path / "moved") as opened:
        assert reproduce(opened, package.folder).differ == ()


def test_rows_of_a_cut_name_it_and_with_shifted_dates_by_its_hash_alone(frozen, tmp_path, monkeypatch):
    # A cut is not beside the secret of its registry.
    monkeypatch.setenv("CATAMNESIS_PSEUDONYM_KEY", "ab" * 32)
    with Registry.open(frozen[1]) as opened:
        plain = export_rows(opened, tmp_path / "plain", "osteoarthritis", consent="research")
        shifted = export_rows(opened, tmp_path / "shifted", "osteoarthritis", consent="research", dates="shifted")
        both = export(opened, tmp_path / "both", "osteoarthritis", rows=RowTerms(consent="research"))
        assert manifest(plain.folder, "ROWS.json")["cut"]["name"] == "2026-spring"
        assert manifest(shifted.folder, "ROWS.json")["cut"] == {"sha256": cut.seal(frozen[1])}
        for folder in (plain.folder, shifted.folder, both.folder):
            assert reproduce(opened, folder).differ == (), folder.name
    with (
        Registry.open(frozen[0]) as opened,
        pytest.raises(UsageError, match=r"^shifted was made from a data cut \(SHA-256"),
    ):
        reproduce(opened, shifted.folder)


def test_where_files_differ_the_library_that_is_another_is_named(frozen, package, tmp_path):
    folder = shutil.copytree(package.folder, tmp_path / "package")
    told = manifest(folder)
    told["versions"] |= {"matplotlib": "3.1.0", "python-docx": "0.8", "blas": "openblas 0.2 Haswell"}
    told["files"] = {name: "0" if name.endswith((".svg", ".docx")) else d for name, d in told["files"].items()}
    (folder / "MANIFEST.json").write_text(json.dumps(told), encoding="utf-8")
    with Registry.open(frozen[1]) as opened:
        why = reproduce(opened, folder).why
    now = versions_of_files()
    assert f"matplotlib 3.1.0 then, {now['matplotlib']} now" in why
    assert f"python-docx 0.8 then, {now['python-docx']} now" in why
    assert f"blas openblas 0.2 Haswell then, {now['blas']} now" in why
    assert not [w for w in why if w.startswith(("polars", "pyreadstat"))]


# What the code of a package imports and no byte of it depends on, with the reason.
DECIDE_NOTHING = {
    "threadpoolctl": "says how many threads", "statsmodels": "second opinion, in no package",
    "lifelines": "second opinion, in no package", "sqlmodel": "the schema of the record",
    "SQLAlchemy": "the schema of the record", "duckdb-sqlalchemy": "the schema of the record",
    "ipywidgets": "the explorer in a notebook", "ipython": "shows in a notebook",
}  # fmt: skip


def test_every_library_that_the_code_of_a_package_imports_is_in_the_manifest_or_decides_nothing(package):
    own = {m.__name__: Path(str(m.__file__)).parent for m in (registry_package, analysis, reports)}
    waiting, seen, others = ["reports.publication"], set(), set()
    while waiting:
        name = waiting.pop()
        top, _, rest = name.partition(".")
        if top not in own:
            others.add(top)
            continue
        path = own[top] / rest.replace(".", "/")
        path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
        if name in seen or not path.exists():
            continue
        seen.add(name)
        waiting.append(top)
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                waiting += [a.name for a in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                waiting += [node.module, *(f"{node.module}.{a.name}" for a in node.names)]
    assert {"reports.word", "reports.row_formats", "analysis.figures"} <= seen
    found = importlib.metadata.packages_distributions()
    needed = {found[top][0] for top in others if top in found}
    versions = manifest(package.folder)["versions"]
    told = {name.lower() for name in versions}
    assert {"matplotlib", "polars", "python-docx", "pyreadstat", "python", "zlib", "blas", "machine"} <= told
    assert {n for n in needed if n.lower() not in told} == DECIDE_NOTHING.keys()
    assert all(versions.values())
