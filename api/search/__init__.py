"""What is the answer to this search? Two stages, their rerankers, trials and shadows."""
