"""The listening test of CLIPSep's Appendix F: people say which of two sounds they hear in separated clips.

    clips.py   the sounds of a test, from files or separated by models
    build.py   the sounds → one page that works from a local file
    key.py     which system made which clip
    score.py   the answers and the key → a table
    page.html  the page, which knows no model

This file imports nothing, so that importing the package does not load torch.
"""
