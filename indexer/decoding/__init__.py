"""Which values do these bytes stand for? Encodings, compression, JSON and Arrow."""
