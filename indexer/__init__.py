"""Here is a corpus, make it searchable.

In the order in which a document meets them:

    readers         one reader per format; open_corpus chooses it
    decoding        encodings, compression, JSON and Arrow values
    corpus          records, rejects, and the rules that a document must meet
    changes         is a document new, changed, or already there?
    batches         which documents go into one commit
    chunking        where a document is cut
    writer          cut, embed, commit: all or nothing, even if cancelled
    pipeline        all of the above, from the first record to the published index
    job, progress, report, rejects, account: what a run tells while it works and afterwards
"""
