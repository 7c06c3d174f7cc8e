"""What a run must not load: libraries that take longer to import than the run needs them for."""

import subprocess
import sys

import pytest

RUN = """
import sys
from clearsight.pipelines.cli.app import main
sys.argv = ["clearsight", "run", *sys.argv[1:]]
try:
    main()
finally:
    print("loaded:", *sorted(sys.modules.keys() & {"scipy", "sympy", "kornia", "albumentations", "skimage.transform"}))
"""
CONFIG = """
task: evaluate
name: start-up
data: {kind: files, path: "images"}
parts:
  restore: {kind: clarity, weights: clarity-small-v2}
systems: {restored: [restore]}
conditions:
  clean: {kind: identity}
  noise: {kind: gaussian_noise, severity: 3}
metrics: [psnr]
compare: {baseline: restored}
"""


@pytest.mark.slow
def test_a_run_with_networks_and_noise_loads_no_library_that_it_does_not_use(tmp_path):
    from PIL import Image

    (tmp_path / "images").mkdir()
    Image.effect_noise((32, 32), 50).convert("RGB").save(tmp_path / "images" / "a.png")
    (tmp_path / "config.yaml").write_text(CONFIG, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-c", RUN, "config.yaml", "--workers", "1", "--quiet"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == "loaded:"
