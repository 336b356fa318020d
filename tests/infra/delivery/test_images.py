"""Images of a release: what is built, what the registry has already, and what a registry's errors mean."""

from __future__ import annotations

import json
import shutil

import pytest

from bentos.images.bento import bento_name
from infra.delivery.images import build, docker
from infra.delivery.images.build import Builder
from infra.delivery.images.plan import packaged_version, platform_images, required_version, serving_image
from infra.delivery.images.provenance import BUNDLE, commit_of, provenance
from infra.delivery.images.registry_errors import explain, is_missing
from infra.delivery.release import read_release
from slipway import __version__
from slipway.clients.mlflow.registry import ModelVersion, Registry
from slipway.contracts.bundle.manifest import MANIFEST
from slipway.errors import NotFound, ServiceError
from slipway.settings import settings
from slipway.system.files import file_sha256
from tests.infra.delivery.conftest import COMMIT, digest
from tests.support import bundles
from tests.support.doubles.mlflow_double import MlflowDouble
from tests.support.servers import publish

REGISTRY = "registry.example.com/team"
LOANS = ModelVersion("loans", "3", "run", "source", tags={"slipway.bundle_sha256": "b" * 64})
SHIP, PLATFORM = platform_images(COMMIT)
SERVING = serving_image(LOANS, COMMIT)
LABELS = {"org.opencontainers.image.revision": COMMIT, "slipway.bundle_sha256": "b" * 64}


class RegistryDouble:
    """Model registry with these aliases of the model `loans`."""

    uri = "http://mlflow"

    def __init__(self, **aliases):
        self._aliases = aliases

    def aliased(self, name, alias):
        if name != "loans":
            raise NotFound(f"there is no model {name}")
        number = self._aliases.get(alias)
        return number and ModelVersion(name, number, "run", "source")


def test_the_champion_is_packaged_although_a_challenger_waits():
    assert packaged_version(RegistryDouble(champion="1", challenger="2"), "loans").version == "1"


def test_while_there_is_no_champion_the_challenger_is_packaged():
    assert packaged_version(RegistryDouble(challenger="2"), "loans").version == "2"


@pytest.mark.parametrize("usecase", ["loans", "digits"])
def test_a_use_case_without_either_has_nothing_to_package(usecase):
    assert packaged_version(RegistryDouble(), usecase) is None
    with pytest.raises(NotFound, match=f"{usecase} has neither a champion nor a challenger in http://mlflow"):
        required_version(RegistryDouble(), usecase)


def test_a_tag_names_one_content():
    assert (SHIP.name, SHIP.tag) == ("slipway-ship", f"{__version__}-0123456789ab")
    assert (SERVING.name, SERVING.tag) == ("slipway-serving-loans", "3-bbbbbbbb-0123456789ab")
    again = ModelVersion("loans", "3", "run", "source", tags={"slipway.bundle_sha256": "c" * 64})
    assert serving_image(again, COMMIT).tag != SERVING.tag != serving_image(LOANS, "f" * 40).tag


class DockerDouble:
    """Engine and registry: `pushed` maps references to labels, `local` those of images that are only here."""

    def __init__(self, monkeypatch, pushed=None, local=None, refuses=()):
        self.pushed, self.local, self.refuses, self.built = dict(pushed or {}), dict(local or {}), list(refuses), []
        for name in ("pull", "push", "digest", "labels", "read_file"):
            monkeypatch.setattr(docker, name, getattr(self, name))
        monkeypatch.setattr(build, "run_visibly", self.make)
        monkeypatch.setattr(build, "slipway", self.package)

    def pull(self, reference):
        return reference in self.pushed

    def push(self, local, reference):
        if reference in self.refuses:
            raise ServiceError("the registry is full")
        self.pushed[reference] = self.local[local]
        return self.digest(reference)

    def digest(self, reference):
        assert reference in self.pushed
        return digest(format(len(reference) % 16, "x"))

    def labels(self, reference):
        return (self.pushed | self.local)[reference]

    def read_file(self, reference, path):
        assert (reference in self.pushed, path) == (True, "/opt/slipway/sbom.cdx.json")
        return '{"bomFormat": "CycloneDX"}'

    def make(self, *command, seconds):
        self.built.append(command)
        self.local |= {f"{image.name}:{__version__}": LABELS for image in (SHIP, PLATFORM)}

    def package(self, *arguments, seconds):
        self.built.append(arguments)
        self.local["slipway-serving-loans:3"] = LABELS
        return {"image": {"tag": "slipway-serving-loans:3"}}


def released(folder, *images, base=""):
    return Builder(REGISTRY, COMMIT, folder, base, lambda line: None).release(images)


def reference(image):
    return f"{REGISTRY}/{image.name}:{image.tag}"


def test_what_the_registry_does_not_have_is_built_and_pushed(monkeypatch, tmp_path):
    engine = DockerDouble(monkeypatch)
    release = released(tmp_path, SHIP, PLATFORM, SERVING)
    assert engine.built == [("make", "images"), ("package", "loans", "--version", "3", "--containerize")]
    assert engine.pushed.keys() == {reference(image) for image in (SHIP, PLATFORM, SERVING)}
    assert [(image.name, image.tag, image.version) for image in release.images] == [
        (image.name, image.tag, image.version) for image in (SHIP, PLATFORM, SERVING)
    ]
    for image in release.images:
        assert json.loads((tmp_path / image.sbom).read_text()) == {"bomFormat": "CycloneDX"}
        assert commit_of(json.loads((tmp_path / image.provenance).read_text())) == COMMIT


def test_another_base_image_is_that_of_all(monkeypatch, tmp_path):
    engine = DockerDouble(monkeypatch)
    released(tmp_path, SHIP, SERVING, base="mirror/python:3.11")
    assert engine.built[0] == ("make", "images", "BASE=mirror/python:3.11")
    assert engine.built[1][-2:] == ("--base", "mirror/python:3.11")


def test_a_build_that_was_interrupted_goes_on_where_it_stopped(monkeypatch, tmp_path):
    engine = DockerDouble(monkeypatch, refuses=[reference(SERVING)])
    with pytest.raises(ServiceError, match="the registry is full"):
        released(tmp_path, SHIP, PLATFORM, SERVING)
    engine.refuses, engine.built = [], []
    release = released(tmp_path, SHIP, PLATFORM, SERVING)
    assert engine.built == [("package", "loans", "--version", "3", "--containerize")]
    assert len(release.images) == 3


@pytest.mark.parametrize("label", LABELS)
def test_an_image_under_our_tag_that_is_another_is_refused(monkeypatch, tmp_path, label):
    DockerDouble(monkeypatch, pushed={reference(SERVING): LABELS | {label: "of somebody else"}})
    with pytest.raises(ServiceError, match=f"has the label {label}='of somebody else', and this release needs"):
        released(tmp_path, SERVING)


def test_what_was_built_of_something_else_is_not_pushed(monkeypatch, tmp_path):
    engine = DockerDouble(monkeypatch)
    monkeypatch.setitem(LABELS, "org.opencontainers.image.revision", f"{COMMIT}-dirty")
    with pytest.raises(ServiceError, match="-dirty"):
        released(tmp_path, SERVING)
    assert engine.pushed == {}


def test_a_provenance_says_what_an_image_was_made_of():
    labels = LABELS | {
        "org.opencontainers.image.source": "https://example.com/slipway.git",
        "org.opencontainers.image.base.name": f"python:3.11@sha256:{'d' * 64}",
    }
    found = provenance(SERVING, labels, "me@laptop", "https://example.com/run/7")
    assert found["buildDefinition"]["resolvedDependencies"] == [
        {"uri": "git+https://example.com/slipway.git", "digest": {"gitCommit": COMMIT}},
        {"uri": "docker://python:3.11", "digest": {"sha256": "d" * 64}},
        {"name": "bundle", "digest": {"sha256": "b" * 64}},
    ]
    assert found["buildDefinition"]["externalParameters"]["image"] == "slipway-serving-loans"
    assert found["runDetails"] == {
        "builder": {"id": "me@laptop"},
        "metadata": {"invocationId": "https://example.com/run/7"},
    }


def test_an_image_that_an_earlier_run_pushed_names_no_run_as_its_builder(monkeypatch, tmp_path):
    monkeypatch.setenv("GITHUB_SERVER_URL", "https://github.com")
    monkeypatch.setenv("GITHUB_REPOSITORY", "example/slipway")
    monkeypatch.setenv("GITHUB_RUN_ID", "7")
    DockerDouble(monkeypatch, pushed={reference(SHIP): LABELS})
    metadata = {}
    for image in released(tmp_path, SHIP, SERVING).images:
        metadata[image.name] = json.loads((tmp_path / image.provenance).read_text())["runDetails"]["metadata"]
    run = {"invocationId": "https://github.com/example/slipway/actions/runs/7"}
    assert metadata == {"slipway-ship": {}, "slipway-serving-loans": run}


@pytest.mark.parametrize(
    "output",
    [
        "Error response from daemon: manifest for localhost:5000/a:1 not found: manifest unknown: manifest unknown",
        'Error response from daemon: failed to resolve reference "localhost:5000/a:1": localhost:5000/a:1: not found',
        "Error response from daemon: name unknown: The repository with name 'a' does not exist in the registry",
    ],
)
def test_an_image_that_the_registry_does_not_have_is_missing(output):
    assert is_missing(output)


@pytest.mark.parametrize(
    ("output", "advice"),
    [
        ("write /v2/blobs: no space left on device", "the registry is full"),
        ("denied: Requested quota exceeded", "the registry is full"),
        ("received unexpected HTTP status: 507 Insufficient Storage", "the registry is full"),
        (
            "tag invalid: The image tag '1' already exists in the 'a' repository and cannot be overwritten",
            "tags of releases",
        ),
        ("no basic auth credentials", "docker login"),
        ("denied: Your authorization token has expired. Reauthenticate and try again.", "docker login"),
        ("name unknown: The repository with name 'a' does not exist in the registry with id '1'", "`repositories`"),
        ("received unexpected HTTP status: 500 Internal Server Error", "its log says why"),
        ('Get "http://r/v2/": dial tcp 127.0.0.1:5000: connect: connection refused', "does not respond"),
        ('error getting credentials - err: exec: "docker-credential-x": executable file not found in $PATH', ""),
    ],
)
def test_an_error_of_a_registry_says_what_to_do(output, advice):
    sentence = explain("r/a:1", f"The push refers to repository [r/a]\n{output}\n")
    assert sentence.startswith("r/a:1: ") and output.split(":")[0] in sentence and advice in sentence
    assert ("Meaning:" in sentence) == bool(advice)


def test_an_error_about_credentials_is_no_missing_image():
    assert not is_missing(
        'error getting credentials - err: exec: "docker-credential-x": executable file not found in $PATH'
    )


def test_a_pull_tells_a_missing_image_from_a_registry_that_refuses(programs):
    programs.script("docker", "echo 'manifest unknown: manifest unknown' >&2; exit 1")
    assert docker.pull("r/a:1") is False
    programs.script("docker", "echo 'no basic auth credentials' >&2; exit 1")
    with pytest.raises(ServiceError, match="r/a:1: no basic auth credentials. Meaning: .*docker login"):
        docker.pull("r/a:1")


@pytest.mark.parametrize("digests", [[], ["other/a@sha256:0"], ["r:5000/a@sha256:0", "r:5000/a@sha256:1"]])
def test_an_image_without_one_digest_of_its_registry_is_an_error(programs, digests):
    programs.script("docker", f"echo '{json.dumps(digests)}'")
    with pytest.raises(ServiceError, match="a pushed image has one"):
        docker.digest("r:5000/a:1")


def test_the_digest_is_that_of_the_repository(programs):
    programs.script("docker", f"echo '{json.dumps(['other/a@sha256:0', 'r:5000/a@sha256:1'])}'")
    assert docker.digest("r:5000/a:1") == "sha256:1"


class Models:
    """MLflow with versions of this machine's use cases, and the images that are built of them."""

    def __init__(self, uri, folder, engine):
        self._uri, self._folder, self.engine = uri, folder, engine

    def add(self, usecase, *aliases):
        """Publish a version with these aliases."""
        shutil.rmtree(self._folder, ignore_errors=True)
        bundles.write(self._folder)
        version = publish(self._uri, usecase, self._folder)
        for alias in aliases:
            Registry(self._uri).set_alias(usecase, alias, version)
        labels = {"org.opencontainers.image.revision": self.engine.commit, BUNDLE: file_sha256(self._folder / MANIFEST)}
        self.engine.local[f"{bento_name(usecase)}:{version}"] = labels


class PackagingEngine(DockerDouble):
    """Engine that builds for any commit."""

    commit = ""

    def make(self, *command, seconds):
        self.built.append(command)
        labels = {"org.opencontainers.image.revision": self.commit}
        self.local |= {f"{image.name}:{__version__}": labels for image in (SHIP, PLATFORM)}

    def package(self, command, usecase, option, version, *more, seconds):
        self.built.append((command, usecase, version))
        return {"image": {"tag": f"{bento_name(usecase)}:{version}"}}


@pytest.fixture
def models(monkeypatch, tmp_path, repository):
    engine = PackagingEngine(monkeypatch)
    engine.commit = repository({"slipway/a.py": ""})
    with MlflowDouble() as mlflow:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow.uri)
        settings.cache_clear()
        yield Models(mlflow.uri, tmp_path / "bundle", engine)


def test_each_use_case_that_has_a_version_is_packaged(models, deliver, tmp_path):
    models.add("credit_risk", "champion")
    models.add("credit_risk", "challenger")
    models.add("digits", "challenger")
    code, out, err = deliver("build", "--registry", REGISTRY, "--out", tmp_path / "release" / "release.json")
    assert code == 0, err
    assert models.engine.built[1:] == [("package", "credit_risk", "1"), ("package", "digits", "1")]
    release = read_release(tmp_path / "release" / "release.json")
    assert release.commit == models.engine.commit and len(release.images) == len(out.splitlines()) == 4
    assert out.splitlines()[0].startswith(f"{REGISTRY}/slipway-ship@sha256:")


def test_only_the_use_cases_that_are_named_are_packaged(models, deliver, tmp_path):
    models.add("credit_risk", "champion")
    models.add("digits", "champion")
    deliver("build", "--registry", REGISTRY, "--out", tmp_path / "release.json", "--usecases", "digits")
    assert models.engine.built[1:] == [("package", "digits", "1")]


def test_a_use_case_that_is_named_must_have_a_version(models, deliver, tmp_path):
    code, _, err = deliver("build", "--registry", REGISTRY, "--out", tmp_path / "r.json", "--usecases", "digits")
    assert (code, models.engine.built) == (1, [])
    assert "digits has neither a champion nor a challenger" in err


def test_a_tag_that_was_moved_in_the_registry_is_told_at_the_next_build(models, deliver, tmp_path, monkeypatch):
    build_again = ("build", "--registry", REGISTRY, "--out", tmp_path / "release.json")
    deliver(*build_again)
    assert deliver(*build_again)[0] == 0
    monkeypatch.setattr(docker, "digest", lambda reference: digest("e"))
    code, _, err = deliver(*build_again)
    assert code == 1 and f"is {digest('e')} in {REGISTRY}, and was sha256:" in err


def test_what_another_release_of_slipway_recorded_is_replaced(models, deliver, tmp_path):
    (tmp_path / "release.json").write_text("{}")
    assert deliver("build", "--registry", REGISTRY, "--out", tmp_path / "release.json")[0] == 0
    assert read_release(tmp_path / "release.json").commit == models.engine.commit


def test_changes_that_no_commit_has_are_not_released(deliver, repository, tmp_path):
    repository({"slipway/a.py": "", "notes.txt": ""})
    (tmp_path / "checkout" / "slipway" / "b.py").write_text("")
    code, _, err = deliver("build", "--registry", REGISTRY, "--out", tmp_path / "release.json")
    assert code == 1 and "slipway/b.py differ from the commit that is checked out" in err


def test_a_registry_that_is_a_url_is_refused(deliver, tmp_path, repository):
    repository({"slipway/a.py": ""})
    code, _, err = deliver("build", "--registry", "https://r.example.com", "--out", tmp_path / "release.json")
    assert code == 1 and "--registry 'https://r.example.com' is no registry" in err
