"""What run folders mean: statistics, comparison, tables, figures and the report.

Reads folders through `sim.results.folder` and knows nothing of engines.
"""
