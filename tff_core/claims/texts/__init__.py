"""Sentences and tables made from numbers: one module per chapter, pure functions, Markdown.

A chapter shows what these functions return, so that its text is true whatever the numbers turn out to be and
every branch can be tested without running a chapter.
"""
