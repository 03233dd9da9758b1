"""From a result line to an outcome, and from outcomes to the published table and its manifest."""
