"""Fine-tuning of real models and the recipe of the starter models."""
