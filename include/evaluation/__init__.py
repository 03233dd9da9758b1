"""
Decides how good answers are: graders, metrics, comparison of variants, and the gate. Pure: it reads no lake and no clock.

    graders -> scores.py -> metrics.py -> comparison.py -> gate.py -> result.py
"""
