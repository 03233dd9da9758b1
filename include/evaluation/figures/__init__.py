"""
Turns the scores of an evaluation into its figures. Begins at case_scores.py; evaluate.py, one folder up, joins them.

    case_scores.py -> metrics.py, repeats.py, confusion.py; comparison.py -> gate.py
"""
