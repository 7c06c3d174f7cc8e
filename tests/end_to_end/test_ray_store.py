"""A benchmark that a Ray cluster writes into an object store, and a run on a Ray cluster that reads it from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from s3_server import CREDENTIALS, s3_server

from clearsight.data.contract.sample import Sample
from clearsight.data.executors.choice import Backend
from clearsight.data.media.images import encode_png
from clearsight.data.sources.signs import Signs
from clearsight.pipelines.cli.app import main
from clearsight.pipelines.config.evaluate import Evaluate
from clearsight.pipelines.evaluation.run import run

pytest.importorskip("ray", reason="Ray is not installed: pip install 'clearsight[ray]'")


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.filterwarnings("default")
def test_a_benchmark_goes_through_a_store_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import ray

    source = Signs(split="test", count=204, size=32)
    for sample in source.read(source.index().entries):
        assert isinstance(sample, Sample)
        place = tmp_path / "clean" / f"{sample.truth:02}"
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{Path(sample.id).name}.png").write_bytes(encode_png(sample.image))
    monkeypatch.setenv("CLEARSIGHT_HOME", str(tmp_path / "home"))
    words = ["--set", "gaussian_noise", "--severity", "3", "--quiet"]
    corrupt(str(tmp_path / "clean"), str(tmp_path / "local"), *words)
    with s3_server() as endpoint:
        for name, value in (CREDENTIALS | {"AWS_ENDPOINT_URL": endpoint}).items():
            monkeypatch.setenv(name, value)
        try:
            corrupt(str(tmp_path / "clean"), "s3://bucket/remote", *words, "--on", "ray")
            folders = [
                run(reading(place), root=tmp_path / backend.on, device="cpu", backend=backend)
                for place, backend in (
                    (str(tmp_path / "local"), Backend("local")),
                    ("s3://bucket/remote", Backend("ray")),
                )
            ]
        finally:
            ray.shutdown()
    assert folders[0].results.read_bytes() == folders[1].results.read_bytes()


def corrupt(*words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["corrupt", *words])
    assert ended.value.code == 0


def reading(place: str) -> Evaluate:
    content: dict[str, Any] = {
        "task": "evaluate",
        "name": "read",
        "data": {
            "kind": "folder",
            "path": f"{place}/gaussian_noise/3",
            "label_map": {f"{label:02}": label for label in range(17)},
        },
        "parts": {"net": {"kind": "small_convnet", "weights": "signs-standard-v1"}},
        "systems": {"plain": ["net"]},
        "conditions": {"stored": {"kind": "identity"}},
    }
    return Evaluate.model_validate(content)
