"""The science of the book: which feature maps of a universal detector carry transfer, and what they see."""

__version__ = "0.1.0"
