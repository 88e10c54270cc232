"""What a run leaves: the recording of an engine, its metrics and tables, and the folder that they lie in."""
