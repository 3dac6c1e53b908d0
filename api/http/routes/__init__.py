"""Which function answers this route? Thin: a body is parsed, one call is made, an answer is built."""
