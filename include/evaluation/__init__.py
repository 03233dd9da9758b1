"""
Decides how good answers are: graders, metrics, the comparison of variants, and the gate. Pure: no lake and no clock.

    graders -> scores.py -> evaluate.py (figures, statistics) -> result.py
"""
