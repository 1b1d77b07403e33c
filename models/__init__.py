"""Network definitions, reading of checkpoints, and the folders of model files."""
