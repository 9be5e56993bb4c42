"""Those who watch a run: they read records and never reach back into the loop."""
