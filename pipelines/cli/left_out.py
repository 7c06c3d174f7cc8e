"""Files a run did not use, and its warnings: the same lines for every command that makes runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from clearsight.data.contract.run_folder import RunFolder
from clearsight.pipelines.cli.console import tell_passed_over, tell_skipped
from clearsight.pipelines.runs.sealed import read_summary
from clearsight.pipelines.runs.summary import parse_summary


def tell_left_out(say: Callable[[str], object], runs: Iterable[RunFolder]) -> None:
    """Name images that runs skipped, files that they passed over, and their warnings; each once.

    Args:
        say: prints a line.
        runs: finished runs on images of one source.
    """
    summaries = [(run, parse_summary(read_summary(run))) for run in runs]
    skipped = {item: run for run, summary in summaries for item in summary.data.skipped}
    if skipped:
        tell_skipped(say, list(skipped), str(list(skipped.values())[-1].skipped))
    passed_over = {item: run for run, summary in summaries for item in summary.data.passed_over}
    if passed_over:
        tell_passed_over(say, list(passed_over), str(next(iter(passed_over.values())).summary))
    for warning in dict.fromkeys(text for _, summary in summaries for text in summary.warnings):
        say(f"warning: {warning}")
