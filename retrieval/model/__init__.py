"""What does a Qwen3 model compute? The only package that names torch."""
