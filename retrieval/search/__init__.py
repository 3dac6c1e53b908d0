"""Which candidates answer this query? Recall, hybrid search, fusion, grouping, context."""
