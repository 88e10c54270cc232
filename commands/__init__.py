"""The commands of the command line: what is asked for, shown and said; the work is done by sim, hil and analysis."""
