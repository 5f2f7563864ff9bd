"""Sentences and tables made from numbers: one module for each chapter, pure functions, Markdown.

A chapter shows what these functions return, so that its text is true whatever the numbers turn out to be, and
every branch of it is tested without running a chapter.
"""
