"""Data: the verdicts shipped with cia-bench, one journal a source; ids and reasons, never narrations."""
