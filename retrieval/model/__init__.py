"""What does a Qwen3 decoder say? The only package that names torch."""
