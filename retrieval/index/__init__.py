"""Which vectors are nearest? The only package that names FAISS."""
