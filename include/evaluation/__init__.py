"""
Decides how good answers are: graders, metrics, the comparison of variants, and the gate. Pure: no lake and no clock.

    grading.py (graders), judging.py (judges) -> scores.py -> evaluate.py (figures, statistics) -> result.py -> outputs

A new grader: graders/registry.py. A new figure: figures/, evaluate.py.
"""
