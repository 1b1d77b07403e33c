"""Fine-tuning of the face editor: K/V projections and text adapter, with a mask-weighted loss."""
