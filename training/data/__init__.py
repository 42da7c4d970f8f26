"""What a data set is worth: checks before training, and a page about it."""
