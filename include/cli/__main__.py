"""
The commands behind the Makefile: demo, run, evaluate, show, report, clean-lake and down.
"""

from __future__ import annotations

import argparse
import os
import sys

from include.stack.folder import StackFolder


def main(arguments: list[str] | None = None) -> int:
    """Parse the arguments, then import only what the command needs: a wrong argument is rejected at once."""
    options = _parser().parse_args(arguments)
    folder = StackFolder.of_environment()
    if options.command == "demo":
        from include.cli.demo import demo

        return demo(
            folder,
            real_api=_is_set("REAL"),
            exit_after=options.exit or _is_set("DEMO_EXIT"),
            keep=_is_set("KEEP"),
            processing_seconds=options.processing_seconds,
        )
    if options.command == "run":
        from include.cli.run import run

        return run(folder, options.pipeline, options.partition, start_new=options.new or _is_set("NEW"))
    if options.command == "evaluate":
        from include.cli.evaluate import evaluate

        return evaluate(
            folder, options.pipeline, options.partition, grade_only=options.grade_only or _is_set("GRADE_ONLY")
        )
    if options.command == "show":
        from include.cli.show import show

        return show(
            folder,
            options.pipeline,
            options.partition,
            rejects=options.rejects or _is_set("REJECTS"),
            warned=options.warned or _is_set("WARNED"),
            samples=options.samples or _is_set("SAMPLES"),
            evidence=options.evidence or _is_set("EVIDENCE"),
            documents=options.documents or _is_set("DOCUMENTS"),
            transcript=options.transcript or os.environ.get("TRANSCRIPT", ""),
            run=options.run or os.environ.get("RUN", ""),
            rows=options.rows,
        )
    if options.command == "report":
        from include.cli.report import usage_report

        return usage_report(folder, first=options.first, last=options.last)
    if options.command == "clean-lake":
        from include.cli.clean_lake import clean_lake

        return clean_lake(folder, days=options.days, raw_days=options.raw_days, delete=options.yes or _is_set("YES"))
    from include.cli.down import down

    return down(folder)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m include.cli", description=__doc__)
    commands = parser.add_subparsers(
        dest="command", required=True, metavar="demo | run | evaluate | show | report | clean-lake | down"
    )
    demo = commands.add_parser(
        "demo",
        help="start the stack, run one day, keep running until Ctrl-C; REAL=1: real API; KEEP=1: keep the data",
    )
    demo.add_argument("--exit", action="store_true", help="stop after the run (or DEMO_EXIT=1)")
    demo.add_argument("--processing-seconds", type=float, default=5, help="how long the emulator processes a batch")
    run = commands.add_parser(
        "run",
        help="run one day in the foreground, with the environment's connections",
        description="Run one day in the foreground, with the environment's connections.",
        epilog="Set the fields of the trigger form as environment or make variables: ROWS=10 (trial of the first rows),"
        " DRY_RUN=1, BUDGET=5 (US dollars), MODEL=claude-sonnet-5, REUSE=0, URGENT=1, DEADLINE=05:30,"
        " ONLY_REJECTS=1. Exit status: 0 done, 1 not published, 2 not started, 3 a newer run's rows stay published.",
    )
    run.add_argument("pipeline", metavar="PIPELINE", help="a folder in include/pipelines, e.g. catalogue")
    run.add_argument("partition", metavar="PARTITION", help="a date, e.g. 2026-11-01")
    run.add_argument(
        "--new", action="store_true", help="start a new run instead of resuming an unfinished one (or NEW=1)"
    )
    evaluate = commands.add_parser(
        "evaluate",
        help="run a pipeline and its judges for one day, and evaluate the answers",
        description="Run a pipeline and its judges for one day in the foreground, and evaluate the answers.",
        epilog="Set as environment or make variables: VARIANTS=current,candidate, ROWS=10 (trial of the first rows,"
        " without judges), BUDGET=5 (US dollars, judges included), BASELINE=latest (or a variant, or the id of an"
        " evaluation). Exit status: 0 pass, 1 fail, 2 not started, 3 inconclusive, 4 not evaluated.",
    )
    evaluate.add_argument("pipeline", metavar="PIPELINE", help="a folder in include/pipelines with an evaluation.yaml")
    evaluate.add_argument("partition", metavar="PARTITION", help="a date, e.g. 2026-11-01")
    evaluate.add_argument(
        "--grade-only", action="store_true", help="grade what is published again, for $0 (or GRADE_ONLY=1)"
    )
    show = commands.add_parser("show", help="print the first published rows of a day, or its rejects or samples")
    show.add_argument("pipeline", metavar="PIPELINE", help="a folder in include/pipelines, e.g. catalogue")
    show.add_argument("partition", metavar="PARTITION", help="a published date, e.g. 2026-11-01")
    show.add_argument("--rejects", action="store_true", help="print the rejects instead (or REJECTS=1)")
    show.add_argument("--warned", action="store_true", help="print only the rows that a check warns of (or WARNED=1)")
    show.add_argument("--samples", action="store_true", help="print the answers that were not kept (or SAMPLES=1)")
    show.add_argument("--evidence", action="store_true", help="print the quotes behind the values (or EVIDENCE=1)")
    show.add_argument("--documents", action="store_true", help="print how each document was sent (or DOCUMENTS=1)")
    show.add_argument("--transcript", help="print what the agent did for one row (or TRANSCRIPT=<its key>)")
    show.add_argument("--run", help="print a trial, or the rejects of a run that published nothing (or RUN=<run id>)")
    show.add_argument("--rows", type=int, default=8, help="the maximum number of rows")
    report = commands.add_parser("report", help="report the cost of a range of days, as a page on the lake")
    report.add_argument("--first", help="a date, e.g. 2026-11-01; default: 29 days before the last day")
    report.add_argument("--last", help="a date; default: today")
    clean = commands.add_parser("clean-lake", help="list, or delete, files that ended runs left on the lake")
    clean.add_argument("--days", type=int, default=30, help="only objects older than this many days")
    clean.add_argument("--raw-days", type=int, help="also raw copies older than this many days")
    clean.add_argument("--yes", action="store_true", help="delete them (or YES=1)")
    commands.add_parser("down", help="stop the demo and any processes it left behind")
    return parser


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() not in ("", "0", "false", "no")


if __name__ == "__main__":
    sys.exit(main())
