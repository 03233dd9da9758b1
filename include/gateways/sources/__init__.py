"""Where rows come from: one file per kind of source. Begin with warehouse.py."""
