"""
Decides how good answers are: graders, metrics, the comparison of variants, and the gate. Pure: no lake and no clock.

    graders -> scores.py -> metrics.py -> comparison.py -> gate.py -> result.py
"""
