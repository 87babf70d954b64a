"""Networks: loading and key maps, and what diffusers and transformers lack."""
