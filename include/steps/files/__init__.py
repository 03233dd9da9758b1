"""The files on the lake that one step writes for another, and the DuckDB session that reads them."""
