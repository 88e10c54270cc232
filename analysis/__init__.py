"""What run folders mean: statistics, comparison, tables, figures and the report.

Reads folders through `sim.records` and knows nothing of engines.
"""
