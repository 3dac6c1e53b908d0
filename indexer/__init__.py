"""Here is a corpus, make it searchable.

In the order in which a document meets them:

    sources         which reader reads this corpus?
    corpus          what does a corpus give, and which records are refused?
    lines, fields   what are a file's lines; which field of a record is what?
    jsonl, tables, folder, beir, python_docs (python_source, python_builtins, python_pages): the readers
    changes         is a document new, changed, or there already?
    windows         which documents go into one commit?
    chunking        where is a document cut?
    writer          cut, embedded, committed: all or nothing (to_the_end: even when cancelled)
    run             all of the above, from the first record to the published index
    job, progress, report, rejects: what is said about it meanwhile and afterwards
"""
