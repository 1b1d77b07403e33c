"""Fine-tuning of models, and the training of the starter models."""
