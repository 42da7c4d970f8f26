"""Code that the trainings of all model families share; it imports none of the families."""
