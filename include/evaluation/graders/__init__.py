"""
Graders: each compares one answer with what is expected and gives a grade from 0 to 1. Pure.

    grader.py (what all can do) -> values/, structures/, evidence.py, sql.py -> registry.py (by name)
"""
