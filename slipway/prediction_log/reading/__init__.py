"""Reading of the log as a view: what compacted files prove and spare, and what happens where a file is broken."""
