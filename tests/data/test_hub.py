"""The hub: weights and data sets of a local server that speaks its paths, by commit, cached, and offline."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hub_server import HubServer, serving
from typer.testing import CliRunner

import clearsight
from clearsight.data.catalogue import SOURCES
from clearsight.data.contract.errors import ClearsightError, ConfigError, DataError, WeightsError
from clearsight.data.contract.sample import Sample
from clearsight.data.media.images import encode_png
from clearsight.data.sources.base import Source
from clearsight.data.weights import find, shipped
from clearsight.defend.catalogue import CLASSIFIERS
from clearsight.pipelines.cli.app import app
from clearsight.pipelines.cli.model_card import model_card
from clearsight.pipelines.cli.publish import push_command
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.plan import prepare

# Its constants, which read the environment once: before the endpoint is named, as in a long session.
pytest.importorskip(
    "huggingface_hub.constants", reason="huggingface_hub is not installed (pip install clearsight[hub])"
)
WEIGHTS = Path(__file__).parents[2] / "defend/weights/signs-standard-v1"
FILES = {path.name: path.read_bytes() for path in WEIGHTS.iterdir()}
CLASSES = ("cat", "dog")


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubServer]:
    with serving() as (hub, address):
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setenv("CLEARSIGHT_HOME", str(tmp_path / "home"))
        for name in ("HF_HUB_CACHE", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        yield hub


def png(number: int) -> bytes:
    rng = np.random.Generator(np.random.Philox(key=number))
    return encode_png(rng.integers(0, 256, (20, 24, 3), np.uint8))


def shard(numbers: range) -> bytes:
    rows = [{"bytes": png(number), "path": f"{number}.png"} for number in numbers]
    names = '{"info": {"features": {"label": {"names": ["cat", "dog"]}}}}'
    table = pa.table({"image": rows, "label": [number % 2 for number in numbers]})
    kept = io.BytesIO()
    pq.write_table(table.replace_schema_metadata({"huggingface": names}), kept)
    return kept.getvalue()


def folder(split: str, count: int = 6) -> dict[str, bytes]:
    return {f"{split}/{CLASSES[number % 2]}/{number}.png": png(number) for number in range(count)}


def source(**fields: Any) -> Source:
    return SOURCES.parse({"kind": "hub", "repo": "me/pets", "split": "test"} | fields)


def test_weights_are_fetched_once_checked_and_known_by_their_commit(hub: HubServer) -> None:
    first = hub.put("models/me/signs", FILES)
    part = CLASSIFIERS.parse({"kind": "small_convnet", "weights": "hub:me/signs"})
    assert part.resolved().weights == f"hub:me/signs@{first}"
    assert part.pinned() == part.model_copy(update={"weights": f"hub:me/signs@{first}"})
    assert part.fingerprint() == part.pinned().fingerprint()
    assert find("hub:me/signs").sha256 == find("signs-standard-v1").sha256
    assert clearsight.load("hub:me/signs@main").classes == 17
    assert hub.asked["GET me/signs/resolve/" + first + "/model.safetensors"] == 1
    assert hub.asked["GET api/models/me/signs/revision/main"] == 1
    # Another commit is another key, and this process stays with the one that it has begun with.
    second = hub.put("models/me/signs", {"README.md": b"new"})
    assert find("hub:me/signs").folder.name == first
    other = part.model_copy(update={"weights": f"hub:me/signs@{second}"})
    assert other.fingerprint() != part.fingerprint()
    assert other.resolved().known_classes == 17


@pytest.mark.parametrize(
    ("name", "error", "words"),
    [
        ("hub:me/none", DataError, "no such repository"),
        ("hub:me/signs@none", DataError, "no such revision"),
        ("hub:signs", ConfigError, "write hub:owner/name@revision"),
        ("hub:me/../signs", ConfigError, "write hub:owner/name@revision"),
        ("hub:me/bare", WeightsError, "holds no weights that 'clearsight weights push' wrote"),
        ("hub:me/damaged", WeightsError, "sha256 differs"),
        ("hub:me/code", WeightsError, "'python' executes code"),
    ],
)
def test_what_is_no_weights_is_one_line(hub: HubServer, name: str, error: type, words: str) -> None:
    hub.put("models/me/signs", FILES)
    hub.put("models/me/bare", {"config.json": b"{}"})
    hub.put("models/me/damaged", FILES | {"model.safetensors": b"x"})
    card = json.loads(FILES["card.json"])
    card["spec"] = {"kind": "python", "call": "os:system", "classes": 2}
    hub.put("models/me/code", FILES | {"card.json": json.dumps(card).encode()})
    with pytest.raises(ClearsightError, match=words) as caught:
        clearsight.load(name)
    assert isinstance(caught.value, error)
    assert "\n" not in str(caught.value)


def test_offline_takes_what_was_fetched(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    commit = hub.put("models/me/signs", FILES)
    hub.put("datasets/me/pets", folder("test"))
    find("hub:me/signs")
    entries = source().index().entries
    asked = hub.asked.copy()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert find("hub:me/signs").folder.name == commit
    assert source().index().entries == entries
    assert all(isinstance(sample, Sample) for sample in source().read(entries))
    for name in ("hub:me/signs@other", "hub:me/other", f"hub:me/signs@{'0' * 40}"):
        with pytest.raises(DataError, match="never fetched, and HF_HUB_OFFLINE is set"):
            find(name)
    with pytest.raises(DataError, match="HF_HUB_OFFLINE is set"):
        push_command("signs-standard-v1", "me/signs", branch="main", message="", private=False)
    assert hub.asked == asked


def test_a_hub_that_does_not_answer_is_one_line(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(DataError, match="does not answer.*HF_HUB_OFFLINE=1 uses what was fetched"):
        find("hub:me/signs")


LAYOUTS: dict[str, tuple[dict[str, bytes], dict[str, Any], int]] = {
    "shards": (
        {f"data/test-{n:05d}-of-00002.parquet": shard(range(4 * n, 4 * n + 4)) for n in range(2)}
        | {"data/train-00000-of-00001.parquet": shard(range(9))},
        {},
        8,
    ),
    "converted": ({"default/test/0000.parquet": shard(range(5))}, {"revision": "refs/convert/parquet"}, 5),
    "one file": ({"test.parquet": shard(range(3)), "latest.parquet": shard(range(2))}, {}, 3),
    "folders": (folder("test") | folder("train", 4) | {"README.md": b"# Pets"}, {}, 6),
    "named configuration": (
        {"a/test/0000.parquet": shard(range(3)), "b/test/0000.parquet": shard(range(2))},
        {"config_name": "b"},
        2,
    ),
    "declared": (
        {
            "README.md": b"---\nconfigs:\n- config_name: default\n  data_files:\n  - split: test\n"
            b"    path: [odd/*.parquet]\n---\n# Pets\n",
            "odd/one.parquet": shard(range(4)),
            "test.parquet": shard(range(2)),
        },
        {},
        4,
    ),
    "declared folders": (
        folder("images/held")
        | {
            "README.md": b"---\nconfigs:\n- config_name: x\n  data_files:\n"
            b"  - {split: test, path: 'images/held/**'}\n---\n"
        },
        {},
        6,
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_files_of_a_split(hub: HubServer, layout: str) -> None:
    files, fields, count = LAYOUTS[layout]
    commit = hub.put("datasets/me/pets", files, str(fields.get("revision", "main")))
    data = source(**fields)
    index = data.index()
    assert index.classes == CLASSES
    assert len(index.entries) == count
    for number, sample in enumerate(data.read(sorted(index.entries, key=lambda each: each.id))):
        assert isinstance(sample, Sample)
        assert sample.truth is not None
        if "folders" not in layout:
            assert sample.truth == number % 2
    assert data.pinned().model_dump()["ref"] == commit
    # What was listed of the branch is read by its commit, whatever process reads it.
    assert data.pinned().index() == index
    fetched = [name for name in hub.asked if name.startswith("GET datasets") and "resolve" in name]
    assert len(fetched) == sum(name in files for name in _read(files, layout))


def _read(files: Mapping[str, bytes], layout: str) -> list[str]:
    """Return the files that a split needs: those of other splits are not fetched."""
    head = {
        "named configuration": "b/",
        "declared": "odd/",
        "declared folders": "images/",
        "shards": "data/test",
    }
    return [
        name
        for name in files
        if name.startswith(head.get(layout, ("test", "default"))) or name == "README.md"
    ]


@pytest.mark.slow
def test_images_and_commit_are_in_the_key(hub: HubServer) -> None:
    first = hub.put("datasets/me/pets", folder("test"))
    second = hub.put("datasets/me/pets", {"README.md": b"words"})
    keys = []
    for commit in (first, second):
        data = source(revision=commit)
        entries = data.index().entries
        keys.append((data.digests(entries), data.fingerprint(entries)))
    assert keys[0][0] == keys[1][0]
    assert keys[0][1] != keys[1][1]


@pytest.mark.parametrize(
    ("files", "fields", "words"),
    [
        ({"test.csv": b"a,b"}, {}, "no files of the split 'test'"),
        (folder("train"), {}, "no files of the split 'test'"),
        ({"data/test-00000-of-00002.parquet": shard(range(2))}, {}, "1 of 2 files of 'data/test'"),
        ({"a/test.parquet": b"", "b/test.parquet": b""}, {}, "several places: a, b; name one as config_name"),
        ({"test.parquet": b"no parquet"}, {}, "me/pets@.*test.parquet: cannot be read as parquet"),
        ({"test.parquet": shard(range(2))}, {"image_column": "img"}, "me/pets@.*test.parquet: has no column 'img'; did you mean 'image'"),
        ({"README.md": b"---\nconfigs: [{config_name: a, data_files: x}, {config_name: b, data_files: y}]\n---\n"}, {}, "several configurations: a, b"),
        ({"README.md": b"---\nconfigs: [{data_files: [{split: tset, path: x}]}]\n---\n"}, {}, "no split 'test'; did you mean 'tset'"),
    ],
)  # fmt: skip
def test_splits_that_cannot_be_read(
    hub: HubServer, files: dict[str, bytes], fields: dict[str, Any], words: str
) -> None:
    hub.put("datasets/me/pets", files)
    with pytest.raises(DataError, match=words) as caught:
        source(**fields).index()
    assert "\n" not in str(caught.value)


def test_push_then_use(hub: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    done = CliRunner().invoke(app, ["weights", "push", "signs-standard-v1", "me/mine", "--branch", "v2"])
    assert done.exit_code == 0, done.output
    commit = hub.branches["models/me/mine"]["v2"]
    assert done.output.strip() == f"use it as  weights: hub:me/mine@{commit}"
    assert hub.files("models/me/mine", commit).keys() == {*FILES, "README.md", ".gitattributes"}
    assert "README.md" not in hub.files("models/me/mine", "main")
    told = CliRunner().invoke(app, ["show", "hub:me/mine@v2"])
    assert "99.5 %" in told.output
    told = CliRunner().invoke(app, ["weights", "verify", "hub:me/mine@v2"])
    assert told.output.startswith("fine")
    hub.token = "secret"
    with pytest.raises(DataError, match="answers 401.*set HF_TOKEN"):
        push_command("signs-standard-v1", "me/mine", branch="main", message="", private=False)
    monkeypatch.setenv("HF_TOKEN", "secret")
    push_command("signs-standard-v1", "me/mine", branch="main", message="", private=False)
    with pytest.raises(ConfigError, match="write owner/name"):
        push_command("signs-standard-v1", "mine", branch="main", message="", private=False)


@pytest.mark.parametrize("weights", list(shipped()), ids=lambda weights: weights.folder.name)
def test_every_card_is_a_model_card_of_the_hub(weights: Any) -> None:
    from huggingface_hub import ModelCard

    card = ModelCard(model_card(weights, "me/mine"))
    front: Any = card.data
    assert (front.license, front.library_name) == ("apache-2.0", "clearsight")
    assert all(result.metric_value is not None for result in front.eval_results or ())
    told = yaml.safe_load(card.content.split("---")[1])
    assert ("pipeline_tag" in told) == (
        told["tags"][1] not in ("temperature", "conformal_thr", "degradation_sense")
    )
    assert "hub:me/mine" in card.text
    assert weights.sha256 in card.text


def test_workers_of_a_run_are_given_commits(hub: HubServer, tmp_path: Path) -> None:
    weights, images = hub.put("models/me/signs", FILES), hub.put("datasets/me/pets", folder("test"))
    config = Evaluate.model_validate(
        {
            "task": "evaluate",
            "name": "pinned",
            "data": {"kind": "hub", "repo": "me/pets", "split": "test", "label_map": {"cat": 0, "dog": 1}},
            "parts": {"c": {"kind": "small_convnet", "weights": "hub:me/signs"}},
            "systems": {"plain": ["c"]},
            "conditions": {"clean": {"kind": "identity"}},
        }
    )
    plan = prepare(config, root=tmp_path, device="cpu")
    assert plan.job.graphs["plain"].parts["c"].weights == f"hub:me/signs@{weights}"
    assert plan.config.data.model_dump()["ref"] == images
    assert plan.job.source == plan.config.data
