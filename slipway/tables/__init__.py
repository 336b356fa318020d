"""Tables: one reader of their files, and one meaning of a cell for training, files, labels and requests."""
