"""The listening test of CLIPSep's Appendix F: people say which of two sounds they hear in separated clips.

`clips` gathers the sounds, `build` makes the page, `key` says which model made which clip, `score` reads the answers.
The page is `page.html`, which knows no model.
"""
