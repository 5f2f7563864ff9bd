"""Folders of pictures: reading them, judging whether a set is fit to use, laying them out on sheets."""
